"""A pattern is turned back into the one host that it was made for, or it is a failure with its reason."""

import orjson
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from migration.invert import Inverted, NotInverted, invert_table
from router.legacy import OPTIONS
from router.legacy_table import Filter, pattern_of, render_table

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(lambda text: text[2:4] != "--")
HOSTS = st.lists(LABEL, min_size=2, max_size=5).map(".".join)
HASH = "0123456789abcdef0123456789abcdef"


def filter_of(host: str, *, escaped: bool = False) -> dict[str, str]:
    return {"pattern": pattern_of(host.replace(".", "\\.") if escaped else host), "script_hash": HASH}


def table_of(*filters: object, version: object = 1) -> bytes:
    return orjson.dumps({"filters": list(filters), "v": version})


def inverted(table: bytes) -> list[Inverted | NotInverted]:
    return list(invert_table(table))


def reasons(table: bytes) -> list[str]:
    return [each.reason for each in invert_table(table) if isinstance(each, NotInverted)]


@given(st.sets(HOSTS, max_size=20))
def test_every_host_of_a_table_comes_back_and_no_other(hosts: set[str]) -> None:
    table = render_table(Filter(host, HASH) for host in hosts)
    assert sorted(each.host for each in invert_table(table) if isinstance(each, Inverted)) == sorted(hosts)


@given(HOSTS, HOSTS, st.booleans())
def test_the_host_that_comes_back_is_the_one_that_the_pattern_matches(host: str, other: str, escaped: bool) -> None:
    """The other way round: RE2 takes the pattern for this host; another it takes only where a dot was meant."""
    (found,) = inverted(table_of(filter_of(host, escaped=escaped)))
    assert found == Inverted(host, HASH)
    pattern = re2.compile(filter_of(host, escaped=escaped)["pattern"].encode(), OPTIONS)
    assert pattern.match(f"{host}/a/b".encode())[b"p1"] == b"a/b"
    if other != host and (escaped or len(other) != len(host)):
        assert pattern.match(f"{other}/".encode()) is None


@given(st.lists(HOSTS, unique=True, min_size=1, max_size=10), st.data())
def test_a_cut_table_is_one_failure(hosts: list[str], data: st.DataObject) -> None:
    table = render_table(Filter(host, HASH) for host in hosts)
    (found,) = inverted(table[: data.draw(st.integers(0, len(table) - 1))])
    assert isinstance(found, NotInverted)
    assert found.what == "table"


def test_damage_further_in_is_a_failure_after_what_stands_before_it() -> None:
    table = bytearray(render_table(Filter(f"{letter}.example.com", HASH) for letter in "abc"))
    table[table.index(b"b.example.com") - 5] = 0
    found = inverted(bytes(table))
    assert found[0] == Inverted("a.example.com", HASH)
    assert [type(each) for each in found] == [Inverted, NotInverted]


@pytest.mark.parametrize(
    "pattern",
    [
        "^(?:(a+)+b.example.com(?:[:][0-9]+)?\\/(?<p1>.*))$",
        "^(?:.*\\.example\\.com(?:[:][0-9]+)?\\/(?<p1>.*))$",
        "^(?:a.example.com(?:[:][0-9]+)?\\/(?<p2>.*))$",
        "^(?:a.example.com\\/(?<p1>.*))$",
        "(?:a.example.com(?:[:][0-9]+)?\\/(?<p1>.*))",
        "^(?:a\\.example.com(?:[:][0-9]+)?\\/(?<p1>.*))$",
        "^(?:A.example.com(?:[:][0-9]+)?\\/(?<p1>.*))$",
        "^(?:-a.example.com(?:[:][0-9]+)?\\/(?<p1>.*))$",
        "",
    ],
)
def test_a_pattern_that_is_not_of_a_known_shape_is_a_failure_and_no_guess(pattern: str) -> None:
    table = table_of(filter_of("a.example.com"), {"pattern": pattern, "script_hash": HASH})
    found = inverted(table)
    assert found[0] == Inverted("a.example.com", HASH)
    assert isinstance(found[1], NotInverted)
    assert found[1].reason


def test_a_filter_whose_host_another_pattern_answers_first_is_a_failure() -> None:
    table = table_of(filter_of("axexample.com"), filter_of("a.example.com"))
    assert inverted(table)[1] == Inverted("a.example.com", HASH)
    table = table_of(filter_of("a.example.com"), filter_of("axexample.com"))
    assert len(reasons(table)) == 1


def test_two_filters_for_one_host_are_one_and_a_failure() -> None:
    table = table_of(filter_of("a.example.com"), filter_of("a.example.com", escaped=True))
    assert len(reasons(table)) == 1


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"\x00\xff",
        b"[]",
        b'{"filters":{},"v":1}',
        table_of(version=2),
        table_of(filter_of("a.b.c"), version="1"),
        table_of(version=True),
        table_of(version=1.0),
    ],
)
def test_what_is_no_table_is_one_failure(table: bytes) -> None:
    (found,) = inverted(table)
    assert isinstance(found, NotInverted)
    assert found.what == "table"


@pytest.mark.parametrize("entry", [None, 7, [], {}, {"pattern": 1, "script_hash": "x"}, {"pattern": "^a$"}])
def test_what_is_no_filter_is_a_failure_beside_good_ones(entry: object) -> None:
    found = inverted(table_of(filter_of("a.example.com"), entry, filter_of("b.example.com")))
    assert [type(each) for each in found] == [Inverted, NotInverted, Inverted]
