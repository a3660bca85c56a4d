"""Time and new ids: what is neither pure nor the store's, so that tests can say what they are."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """`now_s` is Unix time; `new_id` gives 32 hex digits that nobody can guess."""

    now_s: Callable[[], float] = time.time
    new_id: Callable[[], str] = lambda: secrets.token_hex(16)

    def now(self) -> str:
        """RFC 3339, UTC, with microseconds."""
        return datetime.fromtimestamp(self.now_s(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
