"""`onehop migrate …`: moves routes that only the legacy scheme has into the hashed scheme, while both are served."""

import dataclasses
import time
from typing import Annotated, Any

import typer

from migration.pacing import Hours
from migration.progress import Control, Progress, put_control, read_control, read_progress
from onehop.commands.options import AsJson, Data
from onehop.migration_parts import MigrationOptions
from onehop.migration_run import Seen, run_job
from onehop.opened_store import OpenedStore, find_folder, opened
from onehop.output import Watcher, show_fields, show_json, show_line, watched
from router.kv.schema import Database

app = typer.Typer(add_completion=False, help="Move what only routing tables have into the hashed scheme.")

Rate = Annotated[float | None, typer.Option("--rate", min=1, help="Deployments a second at the most.")]
BytesRate = Annotated[
    float | None, typer.Option("--bytes-rate", min=1000, help="Bytes of routes a second at the most.")
]


@app.command("run")
def run(
    rate: Rate = None,
    bytes_rate: BytesRate = None,
    sites: Annotated[str | None, typer.Option(help="Names of sites, with commas; all, unless given.")] = None,
    hours: Annotated[str | None, typer.Option(help="Work in these hours only, such as 22:00-06:00.")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Processes that read tables.")] = 1,
    guard: Annotated[bool, typer.Option(help="Slow down when visitors fare worse, stop past a limit.")] = True,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Migrate; goes on with a job that was cut short. Every host is served meanwhile."""
    with opened(find_folder(data)) as it, watched() as watcher:
        options = MigrationOptions(
            sites=numbers_of(it, sites) if sites is not None else None,
            hours=parsed_hours(hours), parallel=parallel, is_guarded=guard,
        )  # fmt: skip
        set_control(it, deployments_per_s=rate, bytes_per_s=bytes_rate, is_paused=False, pause_reason="")
        watch = JobWatch(watcher)
        progress = run_job(it, options, watch.look)
    show(progress, as_json=as_json)
    if progress.failed:
        raise typer.Exit(1)


@app.command("status")
def status(data: Data = None, as_json: AsJson = False) -> None:
    """How far the job is, or how the last one ended."""
    with opened(find_folder(data)) as it, it.store.read() as snapshot:
        progress = read_progress(snapshot)
        control = read_control(snapshot)
    if progress is None:
        show_json({"state": "none"}) if as_json else show_line(
            "no migration yet; 'onehop migrate plan' says what it would do"
        )
        return
    show(progress, as_json=as_json, control=control)


class JobWatch:
    """Feeds a progress bar from what the store says."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._stage, self._shown = "", 0

    def look(self, seen: Seen) -> None:
        progress = seen.progress
        stage, count = progress.state.value, progress.collected
        if progress.state.value != "collecting":
            count = progress.done
        if stage != self._stage:
            self._stage, self._shown = stage, 0
            self._watcher.begin(stage, progress.total or None)
        self._watcher.advance(max(0, count - self._shown))
        self._shown = max(count, self._shown)


def document_of(progress: Progress, control: Control) -> dict[str, Any]:
    elapsed_s = (progress.ended_s or time.time()) - progress.started_s
    return {
        "job": progress.job,
        "state": "paused" if control.is_paused and not progress.state.is_end else progress.state.value,
        "total": progress.total,
        "migrated": progress.migrated,
        "failed": progress.failed,
        "skipped": progress.skipped,
        "skipped_by_reason": progress.skipped_by_reason,
        "rate": round(progress.done / elapsed_s, 1) if elapsed_s > 0 else 0.0,
        "rate_limit": control.deployments_per_s,
        "elapsed_s": round(elapsed_s, 3),
        "reason": progress.reason,
    }


def show(progress: Progress, *, as_json: bool, control: Control = Control()) -> None:  # noqa: B008  # frozen
    told = document_of(progress, control)
    show_json(told) if as_json else show_fields(
        [(name, value) for name, value in told.items() if value not in ("", {}, None)]
    )


def set_control(it: OpenedStore, **members: Any) -> Control:
    with it.store.write() as transaction:
        control = dataclasses.replace(read_control(transaction), **members)
        put_control(transaction, control)
    return control


def numbers_of(it: OpenedStore, names: str) -> frozenset[int]:
    from router.kv.schema import SITE_NO

    numbers = set()
    with it.store.read() as snapshot:
        for name in (each.strip() for each in names.split(",")):
            found = snapshot.get(Database.SITE_NAMES, name.encode("ascii", "replace"))
            if found is None:
                raise typer.BadParameter(f"there is no site {name}; 'onehop site list' shows those there are")
            numbers.add(SITE_NO.unpack(found)[0])
    return frozenset(numbers)


def parsed_hours(text: str | None) -> Hours | None:
    try:
        return Hours.parse(text) if text is not None else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
