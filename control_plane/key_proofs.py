"""Which token pepper and variables key a store was made with: it keeps a check value of each, in META.

    secret_check:<file's name>    HMAC-SHA256 of a fixed text under the key

With another pepper every token is refused, with another variables key no secret variable can be opened; either would
show only later, as something else. So a key that isn't the store's is refused at start, and so is one that is missing:
a new one is made for a new store only, or when the old one was given up (`give_up_key`). The upload key has no check
value: what it signs is worth nothing after an hour, so a lost one is made anew.
"""

import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from control_plane.secret_files import SecretUnusable, read_key, read_or_make_key
from control_plane.tokens import ADMIN_MADE
from router.kv.schema import Database
from router.kv.store import Snapshot, Store, Transaction

CHECK_PREFIX: Final = b"secret_check:"
CHECK_MESSAGE: Final = b"onehop: check value of "
TOKEN_PEPPER: Final = "token-pepper"  # noqa: S105  # its file's name
VARIABLES_KEY: Final = "variables-key"
UPLOAD_KEY: Final = "upload-key"
LOST_WITHOUT: Final[Mapping[str, str]] = {
    TOKEN_PEPPER: "no token of this store is valid",
    VARIABLES_KEY: "no secret variable of this store can be opened",
}
"""What each key that has a check value is for, as the end of "without it …"."""


def settle_key(store: Store, path: Path) -> bytes:
    """The key in this file, made if the store is new. Raises SecretUnusable."""
    with store.read() as snapshot:
        key = prove_key(snapshot, path)
        is_known = known_check(snapshot, path) is not None
    if key is None or not is_known:
        with store.write() as transaction:
            # The file before the store: a crash between leaves a file that the next start takes.
            key = prove_key(transaction, path) or read_or_make_key(path)
            transaction.put(Database.META, CHECK_PREFIX + path.name.encode(), check_value(path.name, key))
    return key


def prove_key(snapshot: Snapshot, path: Path) -> bytes | None:
    """The key in this file; None where the store never had one. Raises SecretUnusable."""
    known, without = known_check(snapshot, path), LOST_WITHOUT[path.name]
    cure = f"restore the file from a backup, or give it up with 'onehop keys renew {path.name}'"
    if not path.exists():
        if known is None and snapshot.count(Database.TOKENS) == 0:
            return None
        raise SecretUnusable(f"{path} is missing, and without it {without}; {cure}")
    key = read_key(path)
    if known is not None and not secrets.compare_digest(known, check_value(path.name, key)):
        raise SecretUnusable(f"{path} isn't the key that this store was made with, and with another {without}; {cure}")
    return key


def known_check(snapshot: Snapshot, path: Path) -> bytes | None:
    return snapshot.get(Database.META, CHECK_PREFIX + path.name.encode())


def check_value(name: str, key: bytes) -> bytes:
    return hmac.digest(key, CHECK_MESSAGE + name.encode(), "sha256")


def give_up_key(transaction: Transaction, path: Path) -> None:
    """The next start makes a new one. With the pepper go all tokens, which nobody could use again."""
    if path.name == TOKEN_PEPPER:
        for token_id, _ in list(transaction.scan(Database.TOKENS)):
            transaction.delete(Database.TOKENS, token_id)
        transaction.delete(Database.META, ADMIN_MADE)
        path.with_name("admin-token").unlink(missing_ok=True)
    transaction.delete(Database.META, CHECK_PREFIX + path.name.encode())
    path.unlink(missing_ok=True)
