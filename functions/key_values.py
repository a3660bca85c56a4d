"""KV namespaces: keys to values with metadata and an end, in one SQLite file that every process of a machine may use.

    put / get / delete / list, a namespace at a time

SQLite rather than the routing store: sites write here as they please, and the routing store has one writer, whose
commits decide what is live. Expired keys are gone for readers at once and are taken away by and by.
"""

import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from functions.sqlite_file import SqliteFile

KEY_BYTES_MAX: Final = 512
VALUE_BYTES_MAX: Final = 25 * 1024 * 1024
METADATA_BYTES_MAX: Final = 1024
LIFETIME_S_MIN: Final = 60
LIST_MAX: Final = 1_000
SWEPT_EACH_WRITE: Final = 20
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS namespaces (id TEXT PRIMARY KEY, title TEXT NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bound (site_no INTEGER, namespace TEXT, PRIMARY KEY (site_no, namespace)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
  namespace TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, metadata TEXT, expires_s INTEGER,
  PRIMARY KEY (namespace, key)
);
CREATE INDEX IF NOT EXISTS entries_by_end ON entries (expires_s) WHERE expires_s IS NOT NULL;
"""


class KeyValueRefused(ValueError):
    """A key, value, end or namespace that can't be taken; the text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`metadata` is JSON text; `expires_s` is Unix time."""

    value: bytes
    metadata: str | None
    expires_s: int | None


@dataclass(frozen=True, slots=True)
class Listed:
    key: str
    metadata: str | None
    expires_s: int | None


@dataclass(frozen=True, slots=True)
class Namespace:
    """`id` is 32 hex digits; `title` is what people call it."""

    id: str
    title: str


class KeyValueStore:
    """Every namespace of one data folder. Its calls block, each for one short transaction; any thread may call."""

    def __init__(self, file: SqliteFile) -> None:
        self._run = file.run

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        file = SqliteFile(path, SCHEMA, synchronous="NORMAL")
        try:
            yield cls(file)
        finally:
            file.close()

    def get(self, namespace: str, key: str, *, now_s: int) -> Entry | None:
        rows = self._run(
            "SELECT value, metadata, expires_s FROM entries WHERE namespace = ? AND key = ?"
            " AND (expires_s IS NULL OR expires_s > ?)",
            (namespace, key_bytes(key), now_s),
        )
        if not rows:
            return None
        value, metadata, expires_s = rows[0]
        return Entry(value, metadata, expires_s)

    def put(self, namespace: str, key: str, entry: Entry, *, now_s: int) -> None:
        """Raises KeyValueRefused."""
        if len(entry.value) > VALUE_BYTES_MAX:
            raise KeyValueRefused(f"the value has {len(entry.value)} bytes, the limit is {VALUE_BYTES_MAX}")
        if entry.metadata is not None and len(entry.metadata.encode("utf-8")) > METADATA_BYTES_MAX:
            raise KeyValueRefused(f"the metadata is longer than {METADATA_BYTES_MAX} bytes")
        if entry.expires_s is not None and entry.expires_s < now_s + LIFETIME_S_MIN:
            raise KeyValueRefused(f"a key must live for {LIFETIME_S_MIN} s at least")
        self._run(
            "INSERT OR REPLACE INTO entries (namespace, key, value, metadata, expires_s) VALUES (?, ?, ?, ?, ?)",
            (namespace, key_bytes(key), entry.value, entry.metadata, entry.expires_s),
        )
        self._sweep(now_s)

    def delete(self, namespace: str, key: str) -> None:
        self._run("DELETE FROM entries WHERE namespace = ? AND key = ?", (namespace, key_bytes(key)))

    def list_keys(
        self, namespace: str, *, prefix: str, after: str, limit: int, now_s: int
    ) -> tuple[list[Listed], bool]:
        """In the order of their bytes, at most `limit` beyond `after`; and whether those were all."""
        first = prefix.encode("utf-8", "surrogatepass")
        end = after_prefix(first)
        limit = max(1, min(limit, LIST_MAX))
        rows = self._run(
            "SELECT key, metadata, expires_s FROM entries WHERE namespace = ? AND key >= ? AND key > ?"
            " AND (? IS NULL OR key < ?) AND (expires_s IS NULL OR expires_s > ?) ORDER BY key LIMIT ?",
            (namespace, first, after.encode("utf-8", "surrogatepass"), end, end, now_s, limit + 1),
        )
        listed = [Listed(bytes(key).decode("utf-8", "replace"), metadata, end_s) for key, metadata, end_s in rows]
        return listed[:limit], len(listed) <= limit

    def namespaces(self) -> list[Namespace]:
        """By title."""
        return [Namespace(*row) for row in self._run("SELECT id, title FROM namespaces ORDER BY title", ())]

    def has_namespace(self, namespace_id: str) -> bool:
        return bool(self._run("SELECT 1 FROM namespaces WHERE id = ?", (namespace_id,)))

    def add_namespace(self, namespace: Namespace) -> None:
        """Raises KeyValueRefused."""
        try:
            self._run("INSERT INTO namespaces (id, title) VALUES (?, ?)", (namespace.id, namespace.title))
        except sqlite3.IntegrityError:
            raise KeyValueRefused(f"a namespace named {namespace.title[:100]!r} already exists") from None

    def rename_namespace(self, namespace: Namespace) -> None:
        """Raises KeyValueRefused."""
        try:
            self._run("UPDATE namespaces SET title = ? WHERE id = ?", (namespace.title, namespace.id))
        except sqlite3.IntegrityError:
            raise KeyValueRefused(f"a namespace named {namespace.title[:100]!r} already exists") from None

    def remove_namespace(self, namespace_id: str) -> None:
        self._run("DELETE FROM entries WHERE namespace = ?", (namespace_id,))
        self._run("DELETE FROM bound WHERE namespace = ?", (namespace_id,))
        self._run("DELETE FROM namespaces WHERE id = ?", (namespace_id,))

    def bound_to(self, site_no: int) -> frozenset[str]:
        """The namespaces that deployments of a site have been given."""
        return frozenset(row[0] for row in self._run("SELECT namespace FROM bound WHERE site_no = ?", (site_no,)))

    def bind(self, site_no: int, namespace_id: str) -> None:
        self._run("INSERT OR IGNORE INTO bound (site_no, namespace) VALUES (?, ?)", (site_no, namespace_id))

    def _sweep(self, now_s: int) -> None:
        self._run(
            "DELETE FROM entries WHERE rowid IN"
            " (SELECT rowid FROM entries WHERE expires_s IS NOT NULL AND expires_s <= ? LIMIT ?)",
            (now_s, SWEPT_EACH_WRITE),
        )


def key_bytes(key: str) -> bytes:
    """Raises KeyValueRefused."""
    encoded = key.encode("utf-8", "surrogatepass")
    if not encoded or key in (".", ".."):
        raise KeyValueRefused("a key can't be empty, '.' or '..'")
    if len(encoded) > KEY_BYTES_MAX:
        raise KeyValueRefused(f"the key has {len(encoded)} bytes, the limit is {KEY_BYTES_MAX}")
    return encoded


def after_prefix(prefix: bytes) -> bytes | None:
    """The first key past all that begin with `prefix`; None when nothing is past them."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def encode_cursor(key: str) -> str:
    return urlsafe_b64encode(key.encode("utf-8", "surrogatepass")).decode("ascii")


def decode_cursor(cursor: str) -> str:
    """Raises KeyValueRefused."""
    try:
        return urlsafe_b64decode(cursor).decode("utf-8", "surrogatepass")
    except ValueError:
        raise KeyValueRefused("the cursor isn't one of ours") from None
