"""Keyed hashes of hostnames: whoever can read or write routes but has no key can neither tell nor forge a host's.

Two keys are live while one is being replaced: look-ups try the current one first. Pure: the ring's file is
`key_files`' concern, and which of its keys are live is the store's to say (`hashed.live_ring`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from router.hostname import Hostname
from router.kv.schema import ROUTE_KEY_BYTES

SECRET_BYTES: Final = 32
CHECK_MESSAGE: Final = b"\x00onehop key check"  # no hostname holds a NUL, so this is no route's hash


@dataclass(frozen=True, slots=True)
class HashKey:
    """One secret. `id` is public: it names the key in the store and in messages."""

    id: str
    secret: bytes = field(repr=False)
    _keyed: HMAC = field(init=False, repr=False, compare=False)
    """Has taken the key in already; a copy of it is a third of the work of a fresh HMAC (decision 0005)."""

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_BYTES:
            raise ValueError(f"key {self.id}: a secret has {SECRET_BYTES} bytes, this one {len(self.secret)}")
        object.__setattr__(self, "_keyed", HMAC(self.secret, SHA256()))

    def route_key(self, hostname: Hostname) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(hostname.name.encode("ascii"))
        return keyed.finalize()[:ROUTE_KEY_BYTES]

    def check_value(self) -> bytes:
        """What the store keeps, to tell a wrong key from the right one."""
        keyed = self._keyed.copy()
        keyed.update(CHECK_MESSAGE)
        return keyed.finalize()


@dataclass(frozen=True, slots=True)
class KeyRing:
    """One or two keys. `previous` is there only while a rotation is under way, or was cut short at its very ends."""

    current: HashKey
    previous: HashKey | None = None

    @property
    def keys(self) -> tuple[HashKey, ...]:
        return (self.current,) if self.previous is None else (self.current, self.previous)

    def route_key(self, hostname: Hostname) -> bytes:
        return self.current.route_key(hostname)

    def route_keys(self, hostname: Hostname) -> tuple[bytes, ...]:
        """Under every key, the current one first."""
        if self.previous is None:
            return (self.current.route_key(hostname),)
        return (self.current.route_key(hostname), self.previous.route_key(hostname))

    def arranged(self, key_ids: Sequence[str]) -> "KeyRing | None":
        """Just these keys, the current one first; None when one of them isn't here."""
        by_id = {key.id: key for key in self.keys}
        if not 1 <= len(key_ids) <= 2 or any(key_id not in by_id for key_id in key_ids):
            return None
        return KeyRing(*(by_id[key_id] for key_id in key_ids))
