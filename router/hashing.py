"""Keyed hashes of hostnames: whoever can read or write routes but has no key can neither tell nor forge a host's.

Two keys are live while one is being replaced: look-ups try the current one first.
"""

import hmac
from dataclasses import dataclass, field
from typing import Final

from router.hostname import Hostname
from router.kv.schema import ROUTE_KEY_BYTES

SECRET_BYTES: Final = 32
CHECK_MESSAGE: Final = b"\x00onehop key check"  # no hostname holds a NUL, so this is no route's hash


@dataclass(frozen=True, slots=True)
class HashKey:
    """One secret. `id` is public: it names the key in the store and in messages."""

    id: str
    secret: bytes = field(repr=False)

    def route_key(self, hostname: Hostname) -> bytes:
        return hmac.digest(self.secret, hostname.name.encode("ascii"), "sha256")[:ROUTE_KEY_BYTES]

    def check_value(self) -> bytes:
        """What the store keeps, to tell a wrong key from the right one."""
        return hmac.digest(self.secret, CHECK_MESSAGE, "sha256")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The live keys. `previous` is there only while a rotation is under way."""

    current: HashKey
    previous: HashKey | None = None

    def route_key(self, hostname: Hostname) -> bytes:
        return self.current.route_key(hostname)

    def route_keys(self, hostname: Hostname) -> tuple[bytes, ...]:
        """Under every live key, the current one first."""
        if self.previous is None:
            return (self.current.route_key(hostname),)
        return (self.current.route_key(hostname), self.previous.route_key(hostname))
