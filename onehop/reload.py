"""What a running server's configuration becomes when it is read again."""

from dataclasses import fields, replace
from typing import Final

from onehop.config import Config

FIXED: Final = ("data", "host", "port", "api_host", "api_port", "pages_domain", "dc")
"""Bound, proven or written down at the start: only a restart changes them."""
assert set(FIXED) <= {each.name for each in fields(Config)}


def settle(running: Config, read: Config) -> tuple[Config, list[str]]:
    """The configuration to go on with, and the settings that were changed and stay as they are."""
    kept = [name for name in FIXED if getattr(read, name) != getattr(running, name)]
    return replace(read, **{name: getattr(running, name) for name in FIXED}), kept
