"""Where events go, and how they look: to stderr, one a line."""

import logging
import sys
from typing import Any

from router.event_log import set_up


def configure_logs(log_format: str) -> None:
    """Events go to stderr, one a line."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    set_up(lambda: configure_structlog(log_format))


def configure_structlog(log_format: str) -> None:
    import structlog  # at the first event, see router.event_log

    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
