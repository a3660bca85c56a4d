"""`onehop serve`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from onehop.config import Config, load_config
from onehop.serve import run_serve

app = typer.Typer(add_completion=False)

# Options are text here: `load_config` parses them, since it must parse variables and the file the same way.
Setting = str | None


@app.command()
def serve(
    data: Annotated[Setting, typer.Option(help="The data folder (ONEHOP_DATA, ./onehop-data).")] = None,
    host: Annotated[Setting, typer.Option(help="Address that the edges listen at.")] = None,
    port: Annotated[Setting, typer.Option(help="Port of the edges; 0 picks a free one (8787).")] = None,
    api_host: Annotated[Setting, typer.Option(help="Address of the API (127.0.0.1).")] = None,
    api_port: Annotated[Setting, typer.Option(help="Port of the API; 0 picks a free one (8788).")] = None,
    workers: Annotated[Setting, typer.Option(help="Edge worker processes (one a processor).")] = None,
    pages_domain: Annotated[Setting, typer.Option(help="Sites live below this domain (pages.localhost).")] = None,
    dc: Annotated[Setting, typer.Option(help="Label of this data centre.")] = None,
    url_scheme: Annotated[Setting, typer.Option(help="Scheme of the sites' public URLs: http or https.")] = None,
    url_port: Annotated[Setting, typer.Option(help="Port of the sites' public URLs, if not the edges' own.")] = None,
    trusted_proxies: Annotated[Setting, typer.Option(help="Networks whose X-Forwarded-Proto counts.")] = None,
    drain_s: Annotated[
        Setting, typer.Option("--drain-s", "--drain", help="Seconds that requests under way get at a stop (10).")
    ] = None,
    limits: Annotated[
        Setting, typer.Option(help="What clients may do, e.g. head_s=5,idle_s=30 (docs/operating.md).")
    ] = None,
    log_format: Annotated[Setting, typer.Option(help="console or json.")] = None,
    access_log: Annotated[Setting, typer.Option(help="A file for a JSON line a request, stderr, or off (off).")] = None,
    access_log_share: Annotated[Setting, typer.Option(help="Which share of requests is logged, e.g. 0.01 (1).")] = None,
    workerd: Annotated[Setting, typer.Option(help="The workerd that runs functions (the installed one).")] = None,
    functions_memory_mib: Annotated[
        Setting, typer.Option(help="MiB of memory past which a workerd process is replaced (768).")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings (ONEHOP_CONFIG).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object once everything answers.")] = False,
) -> None:
    """Serve sites and the API that deploys them, until told to stop. Each option has an ONEHOP_… variable."""
    flags = {
        "data": data,
        "host": host,
        "port": port,
        "api_host": api_host,
        "api_port": api_port,
        "workers": workers,
        "pages_domain": pages_domain,
        "dc": dc,
        "url_scheme": url_scheme,
        "url_port": url_port,
        "trusted_proxies": trusted_proxies,
        "drain_s": drain_s,
        "limits": limits,
        "log_format": log_format,
        "access_log": access_log,
        "access_log_share": access_log_share,
        "workerd": workerd,
        "functions_memory_mib": functions_memory_mib,
    }

    def read() -> Config:
        return load_config(flags, os.environ, file=config)

    raise typer.Exit(run_serve(read(), read_again=read, as_json=as_json))
