"""Options that many commands have, spelled once."""

import math
import os
from pathlib import Path
from typing import Annotated

import typer
from typer._click.core import Context, Parameter  # the click inside of typer, whose types its options take
from typer._click.types import FloatRange

from onehop.api_client import ApiAccess, ApiClient


class FiniteRange(FloatRange):
    """A number within bounds. "nan" and "inf" are floats to Python, and nan is neither below nor above a bound."""

    def convert(self, value: object, param: Parameter | None, ctx: Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def at_least(low: float) -> FiniteRange:
    return FiniteRange(min=low)


SOME_PERCENT = FiniteRange(min=0.01, max=100)

Data = Annotated[Path | None, typer.Option("--data", help="The data folder (ONEHOP_DATA, ./onehop-data).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SiteName = Annotated[str, typer.Argument(metavar="SITE", help="The site's name.")]


def connect(data: Path | None) -> ApiClient:
    """The API of ONEHOP_API_URL, or this machine's."""
    return ApiClient(ApiAccess.find(os.environ, data=data))
