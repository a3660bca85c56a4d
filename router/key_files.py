"""The key ring's file, DATA/secrets/route-keys.json, and the store's proof that it is the right one.

The store keeps a check value for each live key. A ring that doesn't give the same is refused at start: with another
key every host would be unknown, and a deploy would write routes that the right key never finds.
"""

import json
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from router.hashing import SECRET_BYTES, HashKey, KeyRing
from router.kv.schema import Database
from router.kv.store import Store

CHECK_PREFIX: Final = b"key_check:"
PAGES_DOMAIN_KEY: Final = b"pages_domain"
FILE_MODE: Final = 0o600
KEY_ID_BYTES: Final = 4


class KeysRefused(Exception):
    """The key ring can't be used with this store; the message says what to do and holds no secret."""


def make_key() -> HashKey:
    return HashKey(secrets.token_hex(KEY_ID_BYTES), secrets.token_bytes(SECRET_BYTES))


def write_key_ring(path: Path, keys: KeyRing) -> None:
    """Whole or not at all, and durable when it returns."""
    ring = [key for key in (keys.current, keys.previous) if key is not None]
    text = json.dumps({"v": 1, "keys": [{"id": key.id, "secret": key.secret.hex()} for key in ring]}, indent=1)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_key_ring(path: Path) -> KeyRing:
    """Raises KeysRefused."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text("ascii")
    except FileNotFoundError:
        raise KeysRefused(f"{path} is missing; restore it from a backup: without it no host can be found") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KeysRefused(f"{path} can't be read: {error}") from None
    if mode & 0o077:
        raise KeysRefused(f"{path} may be read by others (mode {mode:04o}); run: chmod 600 {path}")
    try:
        keys = [HashKey(each["id"], bytes.fromhex(each["secret"])) for each in json.loads(text)["keys"]]
    except (ValueError, KeyError, TypeError):
        keys = []
    if not 1 <= len(keys) <= 2 or any(len(key.secret) != SECRET_BYTES for key in keys):
        raise KeysRefused(f"{path} isn't a key ring of one or two keys; restore it from a backup")
    return KeyRing(*keys)


def prove_key_ring(store: Store, keys: KeyRing, path: Path) -> None:
    """Raises KeysRefused unless the store knows the current key."""
    with store.read() as snapshot:
        for key in (keys.current, keys.previous):
            if key is None:
                continue
            known = snapshot.get(Database.META, CHECK_PREFIX + key.id.encode())
            if known is None or not secrets.compare_digest(known, key.check_value()):
                raise KeysRefused(
                    f"{path} isn't the key ring of this store (key {key.id}); restore the one that belongs to it"
                )


def remember_key(store: Store, key: HashKey) -> None:
    with store.write() as transaction:
        transaction.put(Database.META, CHECK_PREFIX + key.id.encode(), key.check_value())


def open_key_ring(store: Store, path: Path) -> KeyRing:
    """The ring that belongs to the store, made if the store is new. Raises KeysRefused."""
    with store.read() as snapshot:
        is_new = next(snapshot.scan(Database.META, prefix=CHECK_PREFIX), None) is None
    if is_new:
        if not path.exists():
            write_key_ring(path, KeyRing(make_key()))
        keys = read_key_ring(path)
        remember_key(store, keys.current)
    else:
        keys = read_key_ring(path)
    prove_key_ring(store, keys, path)
    return keys


def settle_pages_domain(store: Store, pages_domain: str) -> None:
    """Every route's hash holds the pages domain, so a store stays with the one it was made for. Raises KeysRefused."""
    with store.read() as snapshot:
        known = snapshot.get(Database.META, PAGES_DOMAIN_KEY)
    if known is None:
        with store.write() as transaction:
            transaction.put(Database.META, PAGES_DOMAIN_KEY, pages_domain.encode())
    elif known.decode() != pages_domain:
        raise KeysRefused(
            f"this data folder serves sites below {known.decode()}, not {pages_domain}; "
            f"start with --pages-domain {known.decode()}, or take a new data folder"
        )
