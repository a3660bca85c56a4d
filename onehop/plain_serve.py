"""`onehop serve` with nothing to explain: every option known, every value there.

A server's start is what somebody waits for, and reading its command line with typer is a tenth of it. So what is plain
is read here, to the same settings (a test holds the two to each other); help, mistakes and all that is odd are typer's.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onehop.config import PARSERS, Config, load_config
from onehop.serve import run_serve

SETTINGS: Final = {"--" + name.replace("_", "-"): name for name in PARSERS}
CONFIG_OPTION: Final = "--config"
JSON_OPTION: Final = "--json"


@dataclass(frozen=True, slots=True)
class PlainServe:
    """`settings` as `load_config` takes them."""

    settings: dict[str, str]
    config: Path | None
    as_json: bool


def parse_plain_serve(arguments: Sequence[str]) -> PlainServe | None:
    """`arguments` are those after `serve`, each `--option VALUE`, `--option=VALUE` or `--json`; None for others."""
    settings: dict[str, str] = {}
    config, as_json = None, False
    rest = iter(arguments)
    for argument in rest:
        if argument == JSON_OPTION:
            as_json = True
            continue
        option, equals, value = argument.partition("=")
        if not equals:
            value = next(rest, "-")
            if value.startswith("-"):
                return None
        if option == CONFIG_OPTION:
            config = Path(value)
        elif option in SETTINGS:
            settings[SETTINGS[option]] = value
        else:
            return None
    return PlainServe(settings, config, as_json)


def run_plain_serve(plain: PlainServe) -> int:
    def read() -> Config:
        return load_config(plain.settings, os.environ, file=plain.config)

    return run_serve(read(), read_again=read, as_json=plain.as_json)
