"""API tokens: what they look like, what they may do, and how one is recognised.

    onehop_<12 characters: public id>_<43 characters: secret>

The store holds, under the public id, the HMAC of the secret with a pepper that isn't in the store: neither a stolen
store nor a stolen pepper gives a token away. A token is for the whole account or for one site, and may read, deploy,
or administer. An unknown id costs the same reading and comparing as a wrong secret (loadtests/guessing.py measures it).
"""

import dataclasses
import hmac
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import Final

import orjson

from control_plane.errors import UnknownToken
from control_plane.secret_files import read_secret, write_secret
from router.kv.schema import Database
from router.kv.store import Snapshot, Transaction

TOKEN: Final = re.compile(r"onehop_([A-Za-z0-9]{12})_([A-Za-z0-9_-]{43})")
ID_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
ID_CHARACTERS: Final = 12
SECRET_BYTES: Final = 32
ADMIN_MADE: Final = b"admin_token_made"  # in META, once the store has had an admin token
NAME_CHARACTERS_MAX: Final = 100


class Access(IntEnum):
    """Each level includes those below it."""

    READ = 1
    DEPLOY = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What the store remembers of a token. `site_no` None: for the whole account."""

    id: str
    name: str
    access: Access
    digest: str = field(repr=False)
    created_on: str
    site_no: int | None = None

    def encode(self) -> bytes:
        return orjson.dumps(dataclasses.asdict(self))

    @classmethod
    def parse(cls, value: bytes | memoryview) -> "TokenRecord":
        members = orjson.loads(value)
        return cls(**{**members, "access": Access(members["access"])})

    def may(self, needed: Access, *, site_no: int | None) -> bool:
        """Whether it may act at this level on that site; None: on the account."""
        return self.access >= needed and self.site_no in (None, site_no)


NOBODY: Final = TokenRecord(
    id="",
    name="nobody",
    access=Access.READ,
    digest=bytes(sha256().digest_size).hex(),
    created_on="1970-01-01T00:00:00Z",
).encode()
"""Stands in for the record of a token that isn't stored, so that reading it takes as long."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token. `text` is shown once and stored nowhere."""

    text: str = field(repr=False)
    record: TokenRecord


@dataclass(frozen=True, slots=True)
class TokenDesk:
    """Issues and recognises tokens. `now` gives an RFC 3339 time."""

    pepper: bytes = field(repr=False)
    now: Callable[[], str]

    def issue(self, transaction: Transaction, *, name: str, access: Access, site_no: int | None) -> Issued:
        token_id = "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_CHARACTERS))
        return self._register(
            transaction, f"onehop_{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}", name, access, site_no
        )

    def recognise(self, snapshot: Snapshot, text: str) -> TokenRecord | None:
        match = TOKEN.fullmatch(text)
        token_id, secret = match.groups() if match else ("", text)
        stored = snapshot.get(Database.TOKENS, token_id.encode("ascii")) if match else None
        record = TokenRecord.parse(stored if stored is not None else NOBODY)
        is_same = hmac.compare_digest(self._digest(secret), bytes.fromhex(record.digest))
        return record if is_same and stored is not None else None

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self.pepper, secret.encode("utf-8", "surrogatepass"), "sha256")

    def _register(self, transaction: Transaction, text: str, name: str, access: Access, site_no: int | None) -> Issued:
        match = TOKEN.fullmatch(text)
        assert match is not None, "made or checked by the caller"
        record = TokenRecord(
            id=match[1],
            name=name,
            access=access,
            digest=self._digest(match[2]).hex(),
            created_on=self.now(),
            site_no=site_no,
        )
        transaction.put(Database.TOKENS, record.id.encode("ascii"), record.encode())
        return Issued(text=text, record=record)

    def ensure_admin(self, transaction: Transaction, path: Path) -> None:
        """The file at `path` holds a token that may do all. A store that never had one takes that of the file, which a
        start cut short or the operator has put there; otherwise what isn't valid, revoked ones too, gives way to a new
        one."""
        text = read_secret(path) if path.exists() else ""
        record = self.recognise(transaction, text)
        if record is not None and record.may(Access.ADMIN, site_no=None):
            return
        is_first = transaction.get(Database.META, ADMIN_MADE) is None
        transaction.put(Database.META, ADMIN_MADE, b"1")
        if is_first and TOKEN.fullmatch(text) is not None:
            self._register(transaction, text, "admin", Access.ADMIN, None)
            return
        path.unlink(missing_ok=True)
        write_secret(path, self.issue(transaction, name="admin", access=Access.ADMIN, site_no=None).text)


def all_tokens(snapshot: Snapshot) -> Iterator[TokenRecord]:
    for _, value in snapshot.scan(Database.TOKENS):
        yield TokenRecord.parse(value)


def revoke_token(transaction: Transaction, token_id: str) -> None:
    """Raises UnknownToken."""
    if not token_id.isascii() or not transaction.delete(Database.TOKENS, token_id.encode("ascii")):
        raise UnknownToken


def revoke_site_tokens(transaction: Transaction, site_no: int) -> None:
    for record in list(all_tokens(transaction)):
        if record.site_no == site_no:
            transaction.delete(Database.TOKENS, record.id.encode("ascii"))
