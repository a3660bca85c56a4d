"""Options that many commands have, spelled once."""

import os
from pathlib import Path
from typing import Annotated

import typer

from onehop.api_client import ApiAccess, ApiClient

Data = Annotated[Path | None, typer.Option("--data", help="The data folder [ONEHOP_DATA, ./onehop-data].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SiteName = Annotated[str, typer.Argument(metavar="SITE", help="The site's name.")]


def connect(data: Path | None) -> ApiClient:
    """The API of ONEHOP_API_URL, or this machine's."""
    return ApiClient(ApiAccess.find(os.environ, data=data))
