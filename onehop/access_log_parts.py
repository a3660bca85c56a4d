"""The access log that a configuration asks for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onehop.config import Config
from onehop.errors import CommandFailed
from router.access_log import AccessLog, open_target
from router.event_log import event_log
from router.forwarded import TrustedProxies
from router.metrics.slot import Cells


class AccessLogUnusable(CommandFailed):
    """The access log can't be written where it was asked for."""


def prove_access_log(config: Config) -> None:
    """Raises AccessLogUnusable, before anybody waits for lines that never come."""
    if isinstance(config.access_log, Path):
        try:
            os.close(open_target(config.access_log))
        except OSError as error:
            raise AccessLogUnusable(
                f"the access log {config.access_log} can't be written: {error.strerror}; "
                "choose another with --access-log or ONEHOP_ACCESS_LOG"
            ) from None


@contextmanager
def access_log_of(config: Config, cells: Cells) -> Iterator[AccessLog | None]:
    """None where it is off. A file that can't be opened any more is no reason not to serve."""
    if config.access_log == "off":
        yield None
        return
    path = config.access_log if isinstance(config.access_log, Path) else None
    proxies = TrustedProxies(config.trusted_proxies)
    try:
        descriptor = open_target(path)
    except OSError as error:
        event_log().error("access_log.unusable", path=str(path), reason=error.strerror)
        yield None
        return
    log = AccessLog(descriptor, cells, share=config.access_log_share, proxies=proxies)
    try:
        yield log
    finally:
        log.close()
