"""`onehop migrate …`: moves routes that only the legacy scheme has into the hashed scheme, while both are served.

Works on the data folder itself, beside a running server or without one.
"""

import dataclasses
import os
import time
from contextlib import nullcontext
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from migration.failures import Failure, read_failures
from migration.pacing import Hours
from migration.plan import plan_migration
from migration.progress import Progress, State, read_control, read_progress
from migration.pulse import Pulse, read_pulse
from onehop.commands.migrate_finish import cleanup, verify
from onehop.commands.migrate_rollout import report, rollout
from onehop.commands.options import AsJson, Data, at_least
from onehop.config import load_config
from onehop.errors import CommandFailed
from onehop.job_display import Unshown, document_of, job_bar, words_of
from onehop.job_watch import JobWatch
from onehop.log_setup import configure_logs
from onehop.migration_parts import NICENESS, MigrationOptions, set_control
from onehop.migration_run import run_job
from onehop.opened_store import OpenedStore, find_folder, opened
from onehop.output import show_fields, show_json, show_line, show_table, watched
from onehop.route_lock import job_name, mover_now, refuse_if_busy
from onehop.site_lookup import site_names_of, site_number
from router.data_centres import data_centres
from router.policy_record import read_policy

app = typer.Typer(add_completion=False, help="Move what only routing tables have into the hashed scheme.")

WATCH_S: Final = 1.0
ENDS: Final = tuple(state.value for state in State if state.is_end)
FAILURES_SHOWN: Final = 50
REASON_PAUSED: Final = "paused by 'onehop migrate pause'"

Rate = Annotated[float | None, typer.Option("--rate", click_type=at_least(1), help="Deployments a second at the most.")]
BytesRate = Annotated[
    float | None, typer.Option("--bytes-rate", click_type=at_least(1000), help="Bytes of routes a second, at most.")
]
Parallel = Annotated[int, typer.Option(min=1, max=64, help="Processes that read tables.")]
Guard = Annotated[bool, typer.Option(help="Slow down when visitors fare worse, stop past a limit.")]


class NothingToDo(CommandFailed):
    """There is no job, or nothing failed."""


class DataCentreUnknown(CommandFailed):
    """No edge has that label."""


@app.command("plan")
def plan(data: Data = None, as_json: AsJson = False) -> None:
    """Count what a migration would do, how long it would take, what it couldn't read. Writes nothing."""
    with opened(find_folder(data), only_reads=True) as it, watched() as watcher, it.store.read() as snapshot:
        planned = plan_migration(snapshot, it.keys, it.names, watcher)
    if as_json:
        show_json(dataclasses.asdict(planned))
        return
    show_fields(
        [
            ("sites", f"{planned.sites} with a table"),
            ("hosts", f"{planned.total} in their tables"),
            ("to migrate", planned.to_migrate),
            ("there already", planned.there_already),
            ("can't be migrated", planned.failed),
            ("takes", f"about {planned.expected_s:.0f} s unthrottled, {planned.expected_bytes / 1e6:.1f} MB of routes"),
        ]
    )
    show_failures(planned.failures, planned.failed)


@app.command("run")
def run(
    rate: Rate = None,
    bytes_rate: BytesRate = None,
    sites: Annotated[str | None, typer.Option(help="Names of sites, with commas; all, unless given.")] = None,
    dc: Annotated[str | None, typer.Option(help="Just sites that this data centre finds by the legacy scheme.")] = None,
    hours: Annotated[str | None, typer.Option(help="Work in these hours only, such as 22:00-06:00.")] = None,
    parallel: Parallel = 1,
    guard: Guard = True,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Migrate; goes on with a job that was cut short. Every host is served meanwhile."""
    folder = find_folder(data)
    refuse_if_busy(folder)
    with opened(folder) as it:
        wanted = wanted_sites(it, names=sites, dc=dc)
        options = MigrationOptions(wanted, parsed_hours(hours), parallel, guard, rate, bytes_rate)
        migrate(it, options, as_json=as_json)


@app.command("retry")
def retry(
    rate: Rate = None,
    bytes_rate: BytesRate = None,
    parallel: Parallel = 1,
    guard: Guard = True,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Migrate the sites again of which something failed, at the pace that was set last."""
    folder = find_folder(data)
    refuse_if_busy(folder)
    with opened(folder) as it:
        with it.store.read() as snapshot:
            failed = frozenset(each.site_no for each in read_failures(snapshot))
        if not failed:
            raise NothingToDo("nothing has failed; 'onehop migrate status' shows the last job")
        options = MigrationOptions(failed, None, parallel, guard, rate, bytes_rate, keeps_pace=True)
        migrate(it, options, as_json=as_json)


def migrate(it: OpenedStore, options: MigrationOptions, *, as_json: bool) -> None:
    configure_logs(load_config({}, os.environ).log_format)
    os.nice(NICENESS)  # of two that want the processor, the edge is to have it
    with job_bar(Console(stderr=True)) as bar:
        progress = run_job(it, options, JobWatch(it.folder, bar))
    with it.store.read() as snapshot:
        control = read_control(snapshot)
    show(document_of(progress, control, None, time.time()), as_json=as_json)
    if progress.failed:
        raise typer.Exit(1)


@app.command("status")
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Until the job ends, once a second.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """How far the job is, or how the last one ended."""
    with opened(find_folder(data), only_reads=True) as it:
        told = told_of(it)
        if told is None:
            line = "no migration yet; 'onehop migrate plan' says what one would do"
            show_json({"state": "none"}) if as_json else show_line(line)
        elif watch:
            watch_job(it, as_json=as_json)
        else:
            show(told, as_json=as_json)


def watch_job(it: OpenedStore, *, as_json: bool) -> None:
    """A bar on a terminal, else a line a second, until the job ends; Ctrl-C only ends the watching."""
    console = Console()
    try:
        with job_bar(console) if not as_json else nullcontext(Unshown()) as bar:
            while (told := told_of(it)) is not None and told["state"] not in ENDS:
                bar.show(told)
                if as_json:
                    show_json(told)
                elif not console.is_terminal:
                    show_line(f"{told['state']} {told['percent']:.0f}% {words_of(told)}")
                time.sleep(WATCH_S)
            if told is not None:
                bar.show(told)
    except KeyboardInterrupt:
        raise typer.Exit from None
    if told is not None:
        show(told, as_json=as_json)


@app.command("pause")
def pause(data: Data = None) -> None:
    """Let the job wait after the batch that it is at."""
    with opened(find_folder(data)) as it:
        need_job(it)
        set_control(it, is_paused=True, pause_reason=REASON_PAUSED)
    show_line("paused; 'onehop migrate resume' lets it go on")


@app.command("resume")
def resume(data: Data = None) -> None:
    """Let a paused job go on. One whose process has ended goes on with 'onehop migrate run'."""
    with opened(find_folder(data)) as it:
        need_job(it)
        set_control(it, is_paused=False, pause_reason="")
    show_line("resumed")


@app.command("set")
def set_pace(rate: Rate = None, bytes_rate: BytesRate = None, data: Data = None) -> None:
    """Change the pace of the job that runs, from its next batch on."""
    if rate is None and bytes_rate is None:
        raise typer.BadParameter("nothing to set: give --rate or --bytes-rate")
    members = {"deployments_per_s": rate, "bytes_per_s": bytes_rate}
    with opened(find_folder(data)) as it:
        need_job(it)
        set_control(it, **{name: value for name, value in members.items() if value is not None})
    show_line("set: it holds from now on, also for what the job is waiting for just now")


@app.command("failures")
def list_failures(data: Data = None, as_json: AsJson = False) -> None:
    """What could not be migrated, each with its reason."""
    with opened(find_folder(data), only_reads=True) as it, it.store.read() as snapshot:
        failures = list(read_failures(snapshot))
        names = site_names_of(snapshot, {each.site_no for each in failures})
    if as_json:
        show_json([{"site": names.get(each.site_no), **dataclasses.asdict(each)} for each in failures])
        return
    rows = [(names.get(each.site_no) or each.site_no, each.what, each.reason) for each in failures]
    show_table(("site", "host or pattern", "reason"), rows, empty="nothing has failed")


def need_job(it: OpenedStore) -> Progress:
    """The job that hasn't ended. Raises NothingToDo."""
    with it.store.read() as snapshot:
        progress = read_progress(snapshot)
    if progress is None or progress.state.is_end:
        raise NothingToDo("no migration is under way; 'onehop migrate run' begins one")
    return progress


def show(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(told)
        return
    by_reason = ", ".join(f"{count} {reason}" for reason, count in told["skipped_by_reason"].items())
    is_plain = told["state"] == told["stage"]
    hidden = {"stage": is_plain, "collected": told["stage"] != "collecting", "percent": told["state"] == "complete"}
    shown = {name: value for name, value in told.items() if not hidden.get(name)} | {"skipped_by_reason": by_reason}
    show_fields([(name.replace("_", " "), value) for name, value in shown.items() if value not in ("", None)])
    if told["failed"]:
        show_line("'onehop migrate failures' names what failed and why")


def told_of(it: OpenedStore) -> dict[str, Any] | None:
    """The job that runs, or the last one."""
    with it.store.read() as snapshot:
        progress, control = read_progress(snapshot), read_control(snapshot)
    if progress is None:
        return None
    is_running = mover_now(it.folder) == job_name(progress.job)
    pulse = read_pulse(it.folder.pulse, progress.job) if is_running else None
    return document_of(progress, control, pulse or fresh_pulse(progress, is_running=is_running), time.time())


def fresh_pulse(progress: Progress, *, is_running: bool) -> Pulse | None:
    """Of a process that hasn't said anything yet."""
    return Pulse(progress.job, time.time(), progress.guard, collected=progress.collected) if is_running else None


def show_failures(failures: list[Failure], count: int) -> None:
    for each in failures[:FAILURES_SHOWN]:
        show_line(f"site {each.site_no}: {each.what}: {each.reason}")
    if count > FAILURES_SHOWN:
        show_line(f"and {count - FAILURES_SHOWN} more")


def wanted_sites(it: OpenedStore, *, names: str | None, dc: str | None) -> frozenset[int] | None:
    """Numbers; None for all."""
    if names is None and dc is None:
        return None
    with it.store.read() as snapshot:
        if names is not None:
            wanted = {site_number(snapshot, each.strip()) for each in names.split(",")}
        else:
            wanted = set(site_names_of(snapshot))
        if dc is not None:
            known = data_centres(snapshot)
            if dc not in known:
                raise DataCentreUnknown(
                    f"no edge was ever started with --dc {dc}; known are {', '.join(known) or 'none'}"
                )
            policy = read_policy(snapshot)
            wanted = {no for no in wanted if (rule := policy.rule_of(no, dc)).split or rule.scheme.is_legacy}
    return frozenset(wanted)


def parsed_hours(text: str | None) -> Hours | None:
    try:
        return Hours.parse(text) if text is not None else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


app.command("verify")(verify)
app.command("rollout")(rollout)
app.command("report")(report)
app.command("cleanup")(cleanup)
