"""`onehop gc`, over the API: the control plane knows which deploys are under way."""

from typing import Annotated

import typer

from onehop.api_client import OWN_API
from onehop.commands.options import AsJson, Data, connect
from onehop.output import show_fields, show_json, watched

app = typer.Typer(add_completion=False)


@app.command()
def collect(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Remove what no deployment needs any more: blobs, manifests, function bundles, leftovers of uploads."""
    with connect(data) as api, watched() as watcher:
        watcher.begin("collecting")
        report = api.call("POST", f"{OWN_API}/gc", body={"dry_run": dry_run})
    if as_json:
        show_json(report)
        return
    verb = "would remove" if dry_run else "removed"
    show_fields(
        [
            (verb, f"{report['files_removed']} blobs and uploads"),
            ("", f"{report['manifests_removed']} manifests"),
            ("", f"{report['bundles_removed']} function bundles"),
            (
                "too young",
                f"{report['files_young']} blobs and uploads that nothing refers to; they go a day after their "
                "last use, since a deploy under way may refer to them yet",
            ),
            ("in use", f"{report['blobs_in_use']} blobs"),
        ]
    )
