"""Events for the operator, without what the logging library costs until there is one.

structlog takes 85 ms to import (it brings rich along), which is a quarter of the time that a start may take. An edge
that has nothing to say never pays it. How events look is decided at the composition root, by `set_up`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

_set_up: list[Callable[[], None]] = []


def set_up(configure: Callable[[], None]) -> None:
    """`configure` runs once, before the first event of each process."""
    _set_up[:] = [configure]
    _logger.cache_clear()


class Unsaid:
    """Takes every event, and tells nobody."""

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda *_event, **_fields: None


def event_log() -> Any:
    """structlog's logger: `event_log().error("deployment.damaged", host=…)`."""
    try:
        return _logger()
    except (ImportError, OSError):
        return Unsaid()  # there is no descriptor left to load the library with: what reports that mustn't fail by it


@cache
def _logger() -> Any:
    import structlog

    for configure in _set_up:
        configure()
    return structlog.get_logger()
