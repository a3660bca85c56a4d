"""The key ring's file, DATA/secrets/route-keys.json, and the store's word on which of its keys are live.

The file holds one or two secrets, oldest first. The store holds, in META:

    key_ring          ids of the live keys, the current one first: "1f0c77aa" or "b2d5e901 1f0c77aa"
    key_check:<id>    a check value for each of them

Whoever reads a route or writes one arranges the file's keys as the store has it *in that very snapshot*
(`hashed.live_ring`): so a rotation takes effect everywhere with one commit, and at no moment does a writer use a key
that a reader doesn't. Before that commit the file holds at least the keys that will be live after it; after it, at
least those that are. A ring that isn't the store's is refused at start: with another key every host would be unknown,
and a deploy would write routes that the right key never finds.
"""

import json
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from router.hashing import SECRET_BYTES, HashKey, KeyRing
from router.kv.schema import Database
from router.kv.snapshot import Snapshot, Transaction
from router.kv.store import Store

RING_KEY: Final = b"key_ring"
CHECK_PREFIX: Final = b"key_check:"
PAGES_DOMAIN_KEY: Final = b"pages_domain"
FILE_MODE: Final = 0o600
FILE_VERSION: Final = 1
KEYS_MAX: Final = 2
KEY_ID_BYTES: Final = 4


class KeysRefused(Exception):
    """The key ring can't be used with this store; the message says what to do and holds no secret."""


# -- the file --------------------------------------------------------------------------------------------------------


def make_key() -> HashKey:
    return HashKey(secrets.token_hex(KEY_ID_BYTES), secrets.token_bytes(SECRET_BYTES))


def write_key_ring(path: Path, keys: KeyRing) -> None:
    """Whole or not at all, and durable when it returns. Only under the store's write lock, or before it has routes."""
    members = [{"id": key.id, "secret": key.secret.hex()} for key in keys.keys]
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(json.dumps({"v": FILE_VERSION, "keys": members}, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_key_ring(path: Path) -> KeyRing:
    """The keys that the file holds, for `hashed.live_ring` to arrange. Raises KeysRefused."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text("ascii")
    except FileNotFoundError:
        raise KeysRefused(f"{path} is missing; restore it from a backup: without it no host can be found") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KeysRefused(f"{path} can't be read ({error}); restore it from a backup") from None
    if mode & 0o077:
        raise KeysRefused(f"{path} may be read by others (mode {mode:04o}); run: chmod 600 {path}")
    keys = parse_keys(text)
    if keys is None:
        raise KeysRefused(f"{path} isn't a key ring of version {FILE_VERSION}; restore it from a backup")
    return KeyRing(*keys)


def parse_keys(text: str) -> list[HashKey] | None:
    """None for anything but what `write_key_ring` writes."""
    try:
        document = json.loads(text)
        keys = [HashKey(each["id"], bytes.fromhex(each["secret"])) for each in document["keys"]]
    except (ValueError, KeyError, TypeError):
        return None
    ids = {key.id for key in keys}
    sound = 1 <= len(keys) <= KEYS_MAX and len(ids) == len(keys) and all(is_key_id(key_id) for key_id in ids)
    return keys if sound and document.get("v") == FILE_VERSION else None


def is_key_id(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 2 * KEY_ID_BYTES and text.isascii() and text.isalnum()


# -- the store's side ------------------------------------------------------------------------------------------------


def live_key_ids(snapshot: Snapshot) -> tuple[str, ...]:
    """The current key's first; none in a store that has never been given a ring."""
    return tuple((snapshot.get(Database.META, RING_KEY) or b"").decode("ascii", "replace").split())


def put_live_keys(transaction: Transaction, keys: KeyRing) -> None:
    """Makes exactly these keys live, for everyone, with the transaction's commit."""
    for name, _ in list(transaction.scan(Database.META, prefix=CHECK_PREFIX)):
        transaction.delete(Database.META, name)
    for key in keys.keys:
        transaction.put(Database.META, CHECK_PREFIX + key.id.encode(), key.check_value())
    transaction.put(Database.META, RING_KEY, " ".join(key.id for key in keys.keys).encode())
    transaction.note_keys_rotated()


def prove_key_ring(store: Store, keys: KeyRing, path: Path) -> KeyRing:
    """The live ones of `keys`. Raises KeysRefused unless they are the store's."""
    with store.read() as snapshot:
        ids = live_key_ids(snapshot)
        live = keys.arranged(ids)
        if live is None:
            raise KeysRefused(
                f"{path} isn't the key ring of this store, whose live keys are {', '.join(ids) or 'none'}; "
                "restore the file that belongs to it"
            )
        for key in live.keys:
            known = snapshot.get(Database.META, CHECK_PREFIX + key.id.encode()) or b""
            if not secrets.compare_digest(known, key.check_value()):
                raise KeysRefused(
                    f"{path}: key {key.id} isn't the one that this store was made with; restore the right file"
                )
    return live


def open_key_ring(store: Store, path: Path) -> KeyRing:
    """The live ring, made if the store is new. Raises KeysRefused."""
    with store.read() as snapshot:
        is_new = not live_key_ids(snapshot)
    if is_new:
        with store.write() as transaction:
            make_key_ring(transaction, path)
    tidy_key_file(store, path)
    return prove_key_ring(store, read_key_ring(path), path)


def make_key_ring(transaction: Transaction, path: Path) -> None:
    """The file before the store: a crash between leaves a file that the next start takes. Raises KeysRefused."""
    if live_key_ids(transaction):
        return  # another process was faster
    if transaction.count(Database.ROUTES):
        raise KeysRefused("the store has routes but has lost its word on their key; restore a backup of the store")
    if not path.exists():
        write_key_ring(path, KeyRing(make_key()))
    put_live_keys(transaction, KeyRing(read_key_ring(path).current))


def tidy_key_file(store: Store, path: Path) -> None:
    """Takes a key out of the file that a rotation put there and didn't use, or used up. Raises KeysRefused.

    Under the write lock, since a rotation that is just beginning has written the file before its commit.
    """
    keys = read_key_ring(path)
    if keys.previous is None:
        return
    with store.write() as transaction:
        keys = read_key_ring(path)
        live = keys.arranged(live_key_ids(transaction))
        if live is not None and len(live.keys) < len(keys.keys):
            write_key_ring(path, live)


def settle_pages_domain(store: Store, pages_domain: str) -> None:
    """Every route's hash holds the pages domain, so a store stays with the one it was made for. Raises KeysRefused."""
    with store.read() as snapshot:
        known = snapshot.get(Database.META, PAGES_DOMAIN_KEY)
    if known is None:
        with store.write() as transaction:
            transaction.put(Database.META, PAGES_DOMAIN_KEY, pages_domain.encode())
    elif known.decode("ascii", "replace") != pages_domain:
        served = known.decode("ascii", "replace")
        raise KeysRefused(
            f"this data folder serves sites below {served}, not {pages_domain}; start with --pages-domain {served}, "
            "or take a new data folder"
        )
