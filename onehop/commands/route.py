"""`onehop route HOST`: reads the store itself, so that it also tells when nothing is running."""

import os
from dataclasses import asdict
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from asset_server.manifest import Manifest, ManifestCorrupt
from control_plane.catalogue import find_domain, find_site, read_site
from control_plane.errors import UnknownProject
from onehop.commands.options import AsJson, Data
from onehop.config import load_config
from onehop.data_folder import DataFolder
from onehop.errors import CommandFailed
from onehop.opened_store import OpenedStore, find_folder, opened
from onehop.output import show_fields, show_json, show_table
from router.data_centres import data_centres
from router.differences import clear_differences, read_differences
from router.explain import Explanation, Viewpoint, explain
from router.forwarded import parse_address
from router.hostname import HostRefused
from router.kv.schema import Database
from router.pipeline import Pipeline, PipelineUnreadable

app = typer.Typer(add_completion=False)

DIFFERENCES: Final = "differences"
"""In place of a host, of which none can be so called: a site's has at least two labels."""


def parsed_client(address: str) -> str:
    parsed = parse_address(address)
    if parsed is None:
        raise typer.BadParameter(f"{address!r} isn't an IP address")
    return str(parsed)


Client = Annotated[str, typer.Option(help="The client's address, for sites that are split.", callback=parsed_client)]


class RouteUnreadable(CommandFailed):
    """The host can't be explained; the message says why."""


@app.command()
def route(
    host: Annotated[
        str,
        typer.Argument(
            metavar="HOST", help="A host name, with or without port; a whole URL; or 'differences': see --help."
        ),
    ],
    dc: Annotated[str | None, typer.Option("--dc", help="As an edge of this data centre decides (ONEHOP_DC).")] = None,
    client: Client = "127.0.0.1",
    clear: Annotated[bool, typer.Option("--clear", help="With 'differences': forget them.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show how a host finds its deployment: each step, what came out of it, how long it took, by both schemes.

    'onehop route differences' shows what shadow compare has found: hosts that the two schemes would answer differently.
    """
    folder = find_folder(data)
    if host == DIFFERENCES:
        tell_differences(folder, is_clearing=clear, as_json=as_json)
        return
    if clear:
        raise typer.BadParameter("--clear is for 'onehop route differences'")
    authority = urlsplit(host).netloc if "://" in host else host
    viewpoint = Viewpoint(load_config({"dc": dc}, os.environ).dc, client)
    with opened(folder) as it:
        if dc is not None:
            refuse_unknown(it, dc)
        try:
            explanation = explain(it.store, it.keys, it.names, authority.encode("utf-8"), viewpoint)
        except HostRefused as error:
            raise RouteUnreadable(f"{authority!r} isn't a host name: {error.reason}; requests for it get 400") from None
        except PipelineUnreadable as error:
            raise RouteUnreadable(
                f"the route of {authority} is damaged ({error}); requests get 500 unless its site's table has the "
                "host; 'onehop check --repair' mends it"
            ) from None
        site = name_site(it, explanation)
        assets = describe_manifest(it, explanation)
    if as_json:
        show_json(document_of(explanation, site))
    else:
        show_fields(steps_of(explanation, site, assets))
    if explanation.pipeline is None:
        raise typer.Exit(1)


def refuse_unknown(it: OpenedStore, dc: str) -> None:
    with it.store.read() as snapshot:
        known = data_centres(snapshot)
    if dc not in known:
        raise RouteUnreadable(f"no edge was ever started with --dc {dc}; known are {', '.join(known) or 'none'}")


def tell_differences(folder: DataFolder, *, is_clearing: bool, as_json: bool) -> None:
    found = read_differences(folder.differences)
    if as_json:
        show_json([{"when": each.when, **asdict(each.difference)} for each in found])
    else:
        rows = [(each.when, each.difference.host, each.difference.served, each.difference.reason) for each in found]
        empty = "none found; 'onehop policy set --shadow PERCENT' compares that share of all requests"
        show_table(("when", "host", "served by", "difference"), rows, empty=empty)
    if is_clearing:
        clear_differences(folder.differences)


def name_site(it: OpenedStore, explanation: Explanation) -> str | None:
    """The site that the host leads to or, if it leads nowhere, whose name it bears."""
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
    split, hashed, legacy = explanation.rule.split, explanation.hashed, explanation.legacy
    return {
        "host": explanation.hostname.name,
        "site": site,
        "scheme": explanation.scheme if explanation.pipeline is not None else None,
        "wanted_scheme": explanation.wanted,
        "rule": explanation.rule.name,
        "split": None if split is None else {"hashed_percent": split.hashed_percent, "other": split.other},
        "route_key": hashed.route_key.hex(),
        "pipeline": pipeline_document(explanation.pipeline),
        "schemes": {
            "hashed": {"pipeline": pipeline_document(hashed.pipeline), "us": hashed.hash_us + hashed.get_us},
            "legacy": {
                "pipeline": pipeline_document(legacy.pipeline),
                "us": legacy.run_us,
                "table_bytes": legacy.filters_bytes,
                "problem": legacy.problem,
            },
        },
        "timings": {"parse_us": explanation.parse_us, "hash_us": hashed.hash_us, "get_us": hashed.get_us},
    }


def pipeline_document(pipeline: Pipeline | None) -> dict[str, object] | None:
    if pipeline is None:
        return None
    return {
        "site_no": pipeline.site_no,
        "manifest": pipeline.manifest,
        "function": pipeline.function,
        "kept": pipeline.kept,
        "preview": pipeline.is_preview,
    }


def steps_of(explanation: Explanation, site: str | None, assets: str) -> list[tuple[str, object]]:
    pipeline, hashed = explanation.pipeline, explanation.hashed
    stages = []
    if pipeline is not None:
        stages = [f"function {pipeline.function}"] if pipeline.function else []
        stages.append(f"assets of manifest {pipeline.manifest}")
        stages += [f"then those kept in {pipeline.kept}"] if pipeline.kept else []
    return [
        ("1 host", f"{explanation.hostname.name}   ({explanation.parse_us:.1f} µs)"),
        ("2 site", f"{site or 'none'}{f', label {explanation.label}' if explanation.label else ''}"),
        ("3 scheme", describe_scheme(explanation)),
        ("4 key", f"{hashed.route_key.hex()} under key {hashed.key_id}   ({hashed.hash_us:.1f} µs)"),
        ("5 hashed", f"{'found' if hashed.pipeline else 'nothing'}   ({hashed.get_us:.1f} µs)"),
        ("6 legacy", describe_legacy(explanation)),
        ("7 pipeline", ", ".join(stages) or "none"),
        ("8 manifest", assets),
        ("9 indexing", "off: a preview" if pipeline and pipeline.is_preview else "allowed" if pipeline else "–"),
    ]


def describe_scheme(explanation: Explanation) -> str:
    split = explanation.rule.split
    by = f"{explanation.rule.name}, {split.hashed_percent:g} % hashed" if split else explanation.rule.name
    if explanation.pipeline is None or explanation.scheme is explanation.wanted:
        return f"{explanation.wanted}, by {by}"
    return f"{explanation.scheme}, in place of {explanation.wanted} by {by}"


def describe_legacy(explanation: Explanation) -> str:
    legacy = explanation.legacy
    if legacy.filters_bytes == 0 and legacy.pipeline is None:
        return legacy.problem or "nothing"
    found = "found" if legacy.pipeline is not None else "nothing"
    same = ", the same" if legacy.pipeline is not None and legacy.pipeline == explanation.hashed.pipeline else ""
    problem = f"; {legacy.problem}" if legacy.problem else ""
    return f"{found}{same}, in a table of {legacy.filters_bytes} bytes   ({legacy.run_us:.1f} µs){problem}"
