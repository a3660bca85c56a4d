"""`onehop keys …`: the keys that hostnames are hashed with; and how a lost secret of the control plane is given up."""

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from control_plane.key_proofs import TOKEN_PEPPER, VARIABLES_KEY, give_up_key
from migration.pacing import Pacer
from onehop.commands.options import AsJson, Data, at_least
from onehop.config import load_config
from onehop.errors import CommandFailed
from onehop.log_setup import configure_logs
from onehop.migration_parts import is_rotating, rotation_pacer, unfinished_job
from onehop.opened_store import OpenedStore, find_folder, opened
from onehop.output import Watcher, show_json, show_line, show_table, watched
from onehop.route_lock import ROTATION, moving_routes, refuse_if_busy
from router.key_files import make_key
from router.rotation import Progress, rotate_keys

app = typer.Typer(
    add_completion=False, help="The keys that hostnames are hashed with: list, rotate; lost secrets: renew."
)


class JobUnfinished(CommandFailed):
    """A migration that was cut short has routes yet to write."""


@app.command("list")
def list_keys(data: Data = None, as_json: AsJson = False) -> None:
    """The live keys' ids; never a key."""
    with opened(find_folder(data)) as it:
        keys = [("current", it.keys.current)]
        if it.keys.previous is not None:
            keys.append(("being replaced", it.keys.previous))
    if as_json:
        show_json([{"id": key.id, "state": state} for state, key in keys])
        return
    show_table(("key", "state"), [(key.id, state) for state, key in keys], empty="none")


@app.command("rotate")
def rotate(
    drop_orphans: Annotated[
        int, typer.Option(min=0, help="How many routes that belong to no record may be lost with the old key.")
    ] = 0,
    rate: Annotated[
        float | None, typer.Option("--rate", click_type=at_least(1), help="Hosts a second at the most.")
    ] = None,
    guard: Annotated[bool, typer.Option(help="Slow down when visitors fare worse, stop past a limit.")] = True,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Replace the key, while every host is served. Cut short, run it again: it goes on where it stopped."""
    configure_logs(load_config({}, os.environ).log_format)
    folder = find_folder(data)
    refuse_if_busy(folder)
    with opened(folder) as it, moving_routes(it.folder) as tell_name, watched() as watcher:
        tell_name(ROTATION)
        need_no_job(it)
        pacer = rotation_pacer(it, rate=rate, is_guarded=guard)
        pacer.begin()
        shown = Pace(watcher, pacer)
        rotated = rotate_keys(
            it.store,
            it.folder.route_keys,
            it.names,
            new_key=make_key(),
            on_progress=shown.follow,
            orphans_max=drop_orphans,
        )
    if as_json:
        show_json({"key": rotated.key_id, "moved": rotated.moved_count, "resumed": rotated.is_resumed})
    else:
        done = "finished the rotation that was under way" if rotated.is_resumed else "rotated"
        show_line(f"{done}: {rotated.moved_count} routes now lie under key {rotated.key_id}")


def need_no_job(it: OpenedStore) -> None:
    """Raises JobUnfinished. Where a rotation is half done already, it is the job that waits."""
    unfinished = unfinished_job(it)
    if unfinished is not None and not is_rotating(it):
        raise JobUnfinished(
            f"job {unfinished.job} was cut short, and its routes are hashed with the key that would go; finish it with "
            "'onehop migrate run', then rotate"
        )


class Renewable(StrEnum):
    """Files of secrets/ that can be made anew, at a price."""

    PEPPER = TOKEN_PEPPER
    VARIABLES = VARIABLES_KEY


@app.command("renew")
def renew(
    name: Annotated[Renewable, typer.Argument(help="Which: its file's name in secrets/.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    data: Data = None,
) -> None:
    """Give up a lost secret, while no server runs: the next 'onehop serve' makes a new one."""
    folder = find_folder(data)
    price = "every API token" if name is Renewable.PEPPER else "the value of every secret variable"
    if not yes:
        typer.confirm(f"this gives up {price} of {folder.root}, for good; go on?", abort=True)
    with folder.controlled(), opened(folder) as it, it.store.write() as transaction:
        give_up_key(transaction, folder.secrets / name)
    again = (
        f"the admin's is then in {folder.admin_token}, make the others with 'onehop token create'"
        if name is Renewable.PEPPER
        else "set each variable again, then deploy again"
    )
    show_line(f"{name} is given up, the next 'onehop serve' makes a new one; {again}")


@dataclass(slots=True)
class Pace:
    """Turns the rotation's running totals into steps, for whoever watches and for the pace."""

    watcher: Watcher
    pacer: Pacer
    rows_count: int = -1

    def follow(self, progress: Progress) -> None:
        if self.rows_count < 0:
            self.watcher.begin("hashing hosts again", progress.rows_total)
            self.rows_count = 0
        passed = progress.rows_count - self.rows_count
        self.watcher.advance(passed)
        self.rows_count = progress.rows_count
        self.pacer.after_batch(rows_count=passed, bytes_count=0)
