"""`caches` of functions: answers that a function has put away, in memory, for as long as they say they are fresh.

One for each edge worker, gone when it ends; entries are a site's own. What may be kept, and for how long, follows
RFC 9111 as far as a shared cache needs it: no-store, private, no-cache and Set-Cookie aren't kept, s-maxage beats
max-age beats Expires, and what says nothing of its age isn't kept either.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from lru import LRU

BYTES_MAX: Final = 64 * 1024 * 1024
ENTRY_BYTES_MAX: Final = 8 * 1024 * 1024
ENTRIES_MAX: Final = 10_000
CACHEABLE: Final = frozenset({200, 203, 204, 300, 301, 404, 405, 410, 414, 501})
"""RFC 9110 15.1: what can be kept by heuristics or says so itself; never 206."""
SECONDS: Final = re.compile(r"[0-9]{1,10}")
Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class CacheKey:
    """`owner` is the pipeline that may see the entry, `cache` the name of its cache."""

    owner: str
    cache: str
    url: str


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """`head` is what the function's side wrote and will read again; times as the cache's clock has them."""

    head: str
    body: bytes
    stored_s: float
    expires_s: float

    @property
    def size_bytes(self) -> int:
        return len(self.body) + len(self.head)


class ResponseCache:
    def __init__(self, now_s: Callable[[], float]) -> None:
        """`now_s` is Unix time, since Expires is."""
        self._now_s = now_s
        self._size_bytes = 0
        self._entries: LRU[CacheKey, CachedResponse] = LRU(ENTRIES_MAX, callback=self._forget)

    def put(self, key: CacheKey, *, status: int, fields: Fields, head: str, body: bytes) -> bool:
        """Whether it was kept."""
        self.delete(key)
        lifetime_s = freshness_s(status, fields, self._now_s())
        if lifetime_s <= 0 or len(body) > ENTRY_BYTES_MAX:
            return False
        entry = CachedResponse(head, body, self._now_s(), self._now_s() + lifetime_s)
        self._entries[key] = entry
        self._size_bytes += entry.size_bytes
        while self._size_bytes > BYTES_MAX:
            self._forget(*self._entries.popitem())
        return True

    def age_s(self, entry: CachedResponse) -> int:
        return max(0, int(self._now_s() - entry.stored_s))

    def match(self, key: CacheKey) -> CachedResponse | None:
        entry: CachedResponse | None = self._entries.get(key)
        if entry is not None and entry.expires_s <= self._now_s():
            self.delete(key)
            return None
        return entry

    def delete(self, key: CacheKey) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._forget(key, entry)
        return entry.expires_s > self._now_s()

    def _forget(self, _key: CacheKey, entry: CachedResponse) -> None:
        self._size_bytes -= entry.size_bytes


def freshness_s(status: int, fields: Fields, now_s: float) -> float:
    """How long a shared cache may use it; 0 when not at all."""
    directives: dict[str, str] = {}
    expires: str | None = None
    for name, value in fields:
        lower = name.lower()
        if lower == "set-cookie":
            return 0
        if lower == "expires":
            expires = value
        elif lower == "cache-control":
            for directive in value.split(","):
                word, _, argument = directive.strip().partition("=")
                directives[word.lower()] = argument.strip('"')
    if status not in CACHEABLE or not directives.keys().isdisjoint({"no-store", "private", "no-cache"}):
        return 0
    for word in ("s-maxage", "max-age"):
        if word in directives:
            return float(directives[word]) if SECONDS.fullmatch(directives[word]) else 0
    if expires is None:
        return 0
    try:
        return max(0.0, parsedate_to_datetime(expires).timestamp() - now_s)
    except ValueError:
        return 0
