"""What systemd, or who speaks its protocol, is told of `onehop serve`: sd_notify(3), datagrams of `NAME=VALUE` lines.

Without its variables all of it does nothing. What it hands over is listeners.take_inherited's to know.
"""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

TELL_S_MAX: Final = 1.0
"""How long a manager that is busy is waited for."""
US_PER_S: Final = 1e6


@dataclass(slots=True)
class ServiceManager:
    """Where to tell, and how often that we live: `ping_at_s` is when next (monotonic), None for never."""

    address: str = ""
    ping_every_s: float | None = None
    ping_at_s: float | None = None
    serving: str = "serving"
    """What the status is between a start and a stop."""

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> "ServiceManager":
        """Takes its variables out of `environ`: they are meant for this process and not for those that it starts."""
        address = environ.pop("NOTIFY_SOCKET", "")
        wanted_us, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        if not address or address[0] not in "/@":
            return cls()
        is_watched = wanted_us.isascii() and wanted_us.isdigit() and pid in ("", str(os.getpid()))
        # Half of it: one that comes late still comes in time.
        every_s = int(wanted_us) / US_PER_S / 2 if is_watched and int(wanted_us) > 0 else None
        return cls(address, every_s)

    def ready(self, status: str | None = None) -> None:
        if self.ping_every_s is not None and self.ping_at_s is None:
            self.ping_at_s = time.monotonic()
        self._tell("READY=1", f"STATUS={status if status is not None else self.serving}")

    def reloading(self) -> None:
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reloading")

    def stopping(self) -> None:
        self._tell("STOPPING=1", "STATUS=finishing the requests under way")

    def ping(self) -> None:
        """If it is time."""
        if self.ping_every_s is not None and self.ping_at_s is not None and time.monotonic() >= self.ping_at_s:
            self.ping_at_s = time.monotonic() + self.ping_every_s
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        """A manager that doesn't listen is no reason not to serve."""
        if not self.address:
            return
        path = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.settimeout(TELL_S_MAX)
            manager.sendto("\n".join(lines).encode(), path)
