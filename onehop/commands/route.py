"""`onehop route HOST`: reads the store itself, so that it also tells when nothing is running."""

from typing import Annotated
from urllib.parse import urlsplit

import typer

from asset_server.manifest import Manifest, ManifestCorrupt
from control_plane.catalogue import find_domain, find_site, read_site
from control_plane.errors import UnknownProject
from onehop.commands.options import AsJson, Data
from onehop.errors import CommandFailed
from onehop.opened_store import OpenedStore, find_folder, opened
from onehop.output import show_fields, show_json
from router.hostname import HostRefused
from router.kv.schema import Database
from router.pipeline import PipelineUnreadable
from router.resolve import Explanation, explain

app = typer.Typer(add_completion=False)


class RouteUnreadable(CommandFailed):
    """The host can't be explained; the message says why."""


@app.command()
def route(
    host: Annotated[str, typer.Argument(metavar="HOST", help="A host name, with or without port; or a whole URL.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show how a host finds its deployment: each step, what came out of it, how long it took."""
    authority = urlsplit(host).netloc if "://" in host else host
    with opened(find_folder(data)) as it:
        try:
            explanation = explain(it.store, it.keys, it.names, authority.encode("utf-8"))
        except HostRefused as error:
            raise RouteUnreadable(f"{authority!r} isn't a host name: {error.reason}; requests for it get 400") from None
        except PipelineUnreadable as error:
            raise RouteUnreadable(
                f"the route of {authority} is damaged ({error}); requests get 500, 'onehop check --repair' mends it"
            ) from None
        site = name_site(it, explanation)
        assets = describe_manifest(it, explanation)
    if as_json:
        show_json(document_of(explanation, site))
    else:
        show_fields(steps_of(explanation, site, assets))
    if explanation.pipeline is None:
        raise typer.Exit(1)


def name_site(it: OpenedStore, explanation: Explanation) -> str | None:
    """The site that the route leads to or, without a route, whose name the host bears."""
    with it.store.read() as snapshot:
        if explanation.pipeline is not None:
            site_no = explanation.pipeline.site_no
        elif (domain := find_domain(snapshot, explanation.hostname.name)) is not None:
            site_no = domain.site_no
        else:
            site = find_site(snapshot, explanation.site) if explanation.site is not None else None
            return site.name if site is not None else None
        try:
            return read_site(snapshot, site_no).name
        except UnknownProject:
            return None


def describe_manifest(it: OpenedStore, explanation: Explanation) -> str:
    if explanation.pipeline is None:
        return "none: requests get 404"
    with it.store.read() as snapshot:
        encoded = snapshot.view(Database.MANIFESTS, explanation.pipeline.manifest.encode("ascii"))
        if encoded is None:
            return "missing: requests get 500; run 'onehop check'"
        try:
            manifest = Manifest(encoded)
        except ManifestCorrupt as error:
            return f"damaged ({error}): requests get 500; run 'onehop check'"
        rules = [name for name in ("redirects", "headers", "function_routes") if len(getattr(manifest, name))]
        return f"{len(manifest)} files in {len(encoded)} bytes" + (f", with {', '.join(rules)}" if rules else "")


def document_of(explanation: Explanation, site: str | None) -> dict[str, object]:
    pipeline = explanation.pipeline
    return {
        "host": explanation.hostname.name,
        "site": site,
        "scheme": explanation.scheme if pipeline is not None else None,
        "rule": explanation.rule,
        "route_key": explanation.route_key.hex(),
        "pipeline": None
        if pipeline is None
        else {
            "site_no": pipeline.site_no,
            "manifest": pipeline.manifest,
            "function": pipeline.function,
            "kept": pipeline.kept,
            "preview": pipeline.is_preview,
        },
        "timings": {
            "parse_us": explanation.parse_us,
            "hash_us": explanation.hash_us,
            "get_us": explanation.get_us,
        },
    }


def steps_of(explanation: Explanation, site: str | None, assets: str) -> list[tuple[str, object]]:
    pipeline = explanation.pipeline
    stages = []
    if pipeline is not None:
        stages = [f"function {pipeline.function}"] if pipeline.function else []
        stages.append(f"assets of manifest {pipeline.manifest}")
        stages += [f"then those kept in {pipeline.kept}"] if pipeline.kept else []
    return [
        ("1 host", f"{explanation.hostname.name}   ({explanation.parse_us:.1f} µs)"),
        ("2 site", f"{site or 'none'}{f', label {explanation.label}' if explanation.label else ''}"),
        ("3 scheme", f"{explanation.scheme}, by {explanation.rule}"),
        ("4 key", f"{explanation.route_key.hex()} under key {explanation.key_id}   ({explanation.hash_us:.1f} µs)"),
        ("5 look-up", f"{'found' if pipeline else 'nothing'}   ({explanation.get_us:.1f} µs)"),
        ("6 pipeline", ", ".join(stages) or "none"),
        ("7 manifest", assets),
        ("8 indexing", "off: a preview" if pipeline and pipeline.is_preview else "allowed" if pipeline else "–"),
    ]
