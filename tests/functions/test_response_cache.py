"""What a function's `caches` keeps, for how long, and for whom."""

import pytest

from functions.response_cache import BYTES_MAX, ENTRY_BYTES_MAX, CacheKey, ResponseCache, freshness_s

KEY = CacheKey("pipeline", "", "http://a.example/")


class Now:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("status", "fields", "lifetime_s"),
    [
        (200, [("Cache-Control", "max-age=60")], 60),
        (200, [("cache-control", "public, max-age=60, s-maxage=5")], 5),
        (200, [("expires", "Thu, 01 Jan 1970 00:01:00 GMT")], 60),
        (200, [("expires", "0")], 0),
        (200, [], 0),
        (200, [("cache-control", "max-age=-1")], 0),
        (200, [("cache-control", "max-age=60, no-store")], 0),
        (200, [("cache-control", "private, max-age=60")], 0),
        (200, [("cache-control", "max-age=60"), ("set-cookie", "a=1")], 0),
        (206, [("cache-control", "max-age=60")], 0),
        (500, [("cache-control", "max-age=60")], 0),
        (404, [("cache-control", "max-age=60")], 60),
    ],
)
def test_freshness_is_what_a_shared_cache_may_use(
    status: int, fields: list[tuple[str, str]], lifetime_s: float
) -> None:
    assert freshness_s(status, fields, 0.0) == lifetime_s


def test_an_entry_is_its_owners_and_ends_with_its_freshness() -> None:
    now = Now()
    cache = ResponseCache(now)
    assert cache.put(KEY, status=200, fields=[("cache-control", "max-age=60")], head="head", body=b"body")
    assert cache.match(CacheKey("another", "", KEY.url)) is None
    assert cache.match(CacheKey("pipeline", "named", KEY.url)) is None
    now.now_s += 59
    found = cache.match(KEY)
    assert found is not None
    assert (found.body, cache.age_s(found)) == (b"body", 59)
    now.now_s += 1
    assert cache.match(KEY) is None
    assert not cache.delete(KEY)


def test_all_of_it_is_bounded() -> None:
    cache = ResponseCache(Now())
    fields = [("cache-control", "max-age=60")]
    assert not cache.put(KEY, status=200, fields=fields, head="", body=b"x" * (ENTRY_BYTES_MAX + 1))
    body = b"x" * ENTRY_BYTES_MAX
    keys = [
        CacheKey("pipeline", "", f"http://a.example/{number}") for number in range(2 * BYTES_MAX // ENTRY_BYTES_MAX)
    ]
    for key in keys:
        cache.put(key, status=200, fields=fields, head="", body=body)
    kept = [key for key in keys if cache.match(key) is not None]
    assert kept == keys[-(BYTES_MAX // ENTRY_BYTES_MAX) :]
