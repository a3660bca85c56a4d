"""`onehop keys …`: the keys that hostnames are hashed with."""

import typer

from onehop.commands.options import AsJson, Data
from onehop.opened_store import find_folder, opened
from onehop.output import show_json, show_table

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
