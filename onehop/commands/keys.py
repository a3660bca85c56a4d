"""`onehop keys …`: the keys that hostnames are hashed with."""

from dataclasses import dataclass
from typing import Annotated

import typer

from onehop.commands.options import AsJson, Data
from onehop.opened_store import find_folder, opened
from onehop.output import Watcher, show_json, show_line, show_table, watched
from router.key_files import make_key
from router.rotation import Progress, rotate_keys

app = typer.Typer(add_completion=False, help="The keys that hostnames are hashed with: list, rotate.")


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
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Replace the key, while every host is served. Cut short, run it again: it goes on where it stopped."""
    with opened(find_folder(data)) as it, watched() as watcher:
        shown = Pace(watcher)
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


@dataclass(slots=True)
class Pace:
    """Turns the rotation's running totals into steps for whoever watches."""

    watcher: Watcher
    rows_count: int = -1

    def follow(self, progress: Progress) -> None:
        if self.rows_count < 0:
            self.watcher.begin("hashing hosts again", progress.rows_total)
            self.rows_count = 0
        self.watcher.advance(progress.rows_count - self.rows_count)
        self.rows_count = progress.rows_count
