"""The old table's bytes: reproducible, edited in place, inverted to hosts, and never answered by the wrong filter."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from router.hostname import Hostname, HostRefused
from router.legacy import compile_pattern, match_compiled, match_parsing, subject_of
from router.legacy_table import (
    EMPTY,
    Filter,
    KnownPattern,
    PatternUnknown,
    TableRefused,
    edit_table,
    find_filter,
    known_pattern,
    parse_table,
    pattern_of,
    render_table,
    script_hash_of,
    shadowed,
)
from router.pipeline import Pipeline


def is_hostname(text: str) -> bool:
    try:
        return Hostname.parse(text.encode("ascii")).name == text
    except HostRefused:
        return False


# Of few characters, so that hosts meet that differ just where one has a dot.
HOSTS = st.text("a.-", min_size=1, max_size=7).filter(is_hostname)
HASHES = st.text("0123456789abcdef", min_size=1, max_size=4)
TABLES = st.dictionaries(HOSTS, HASHES, max_size=12)


def render(table: dict[str, str]) -> bytes:
    return render_table(Filter(host, script_hash) for host, script_hash in table.items())


def test_a_table_is_the_old_shape_to_the_byte() -> None:
    assert render_table([Filter("2b469e16.example.pages.dev", "0f" * 16)]) == (
        rb'{"filters":[{"pattern":"^(?:2b469e16.example.pages.dev(?:[:][0-9]+)?\\/(?<p1>.*))$","script_hash":"'
        + b"0f" * 16
        + b'"}],"v":1}'
    )
    assert render_table([]) == EMPTY == b'{"filters":[],"v":1}'


@given(TABLES)
def test_a_table_gives_back_what_it_was_made_of_whatever_the_order(table: dict[str, str]) -> None:
    rendered = render(table)
    assert {each.host: each.script_hash for each in parse_table(rendered)} == table
    assert render(dict(reversed(table.items()))) == rendered


@given(TABLES, st.dictionaries(HOSTS, st.none() | HASHES, max_size=6))
def test_an_edited_table_is_the_one_that_would_be_made_anew(
    table: dict[str, str], edits: dict[str, str | None]
) -> None:
    changed = {host: script_hash for host, script_hash in {**table, **edits}.items() if script_hash is not None}
    assert edit_table(render(table), edits) == render(changed)


@given(TABLES, HOSTS)
def test_a_host_is_found_exactly_when_it_is_there(table: dict[str, str], host: str) -> None:
    found = find_filter(render(table), host)
    assert (found.script_hash if found is not None else None) == table.get(host)


@given(TABLES, st.sampled_from([b"", b":80", b":8787"]), st.sampled_from([b"/", b"/a?b=c", b"/%2F/\xff:1/"]))
def test_the_first_filter_that_matches_is_the_host_s_own(table: dict[str, str], port: bytes, target: bytes) -> None:
    raw = render(table)
    compiled = [(compile_pattern(pattern_of(each.host)), each.script_hash) for each in parse_table(raw)]
    for host, script_hash in table.items():
        subject = subject_of(host.encode().upper() + port, host, target)
        assert match_parsing(raw, subject) == (script_hash, target[1:])
        assert match_compiled(compiled, subject) == (script_hash, target[1:])


@pytest.mark.parametrize(
    ("host", "subject"),
    [(b"A.test", b"a.test/x"), (b"a.test.", b"a.test/x"), (b"a.test:", b"a.test/x"), (b"a.test.:80", b"a.test:80/x")],
)
def test_the_subject_is_host_port_and_path(host: bytes, subject: bytes) -> None:
    assert subject_of(host, "a.test", b"/x") == subject


@given(TABLES.filter(bool), st.data())
def test_82_a_table_with_one_byte_changed_or_cut_is_refused_or_another_sound_one(
    table: dict[str, str], data: st.DataObject
) -> None:
    raw = bytearray(render(table))
    at = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del raw[at:]
    try:
        filters = list(parse_table(bytes(raw)))
    except TableRefused:
        return
    assert render_table(filters) == bytes(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b'{"filters":[', b'{"filters":[],"v":2}', b'{"filters":[],"v":1} ', b'{"filters":[,],"v":1}',
        EMPTY[:-1], EMPTY.replace(b"[]", b'[{"pattern":"^(a+)+$","script_hash":"00"}]'),
    ],
)  # fmt: skip
def test_82_what_is_no_table_is_refused(raw: bytes) -> None:
    with pytest.raises(TableRefused):
        list(parse_table(raw))


def test_a_filter_that_is_there_twice_or_out_of_order_is_refused() -> None:
    one, two = render_table([Filter("a.test", "1")])[12:-8], render_table([Filter("b.test", "2")])[12:-8]
    for filters in (one + b"," + one, two + b"," + one):
        with pytest.raises(TableRefused, match="out of order"):
            list(parse_table(b'{"filters":[' + filters + b'],"v":1}'))


@given(HOSTS)
def test_a_pattern_inverts_to_its_host(host: str) -> None:
    assert known_pattern(pattern_of(host)) == KnownPattern(host, is_exact=False)
    escaped = pattern_of(host.replace(".", r"\."))
    assert known_pattern(escaped) == KnownPattern(host, is_exact="." in host)
    assert re2.compile(escaped).match(f"{host}:80/x") is not None


@pytest.mark.parametrize(
    "pattern",
    [
        "", "^(a+)+$", "(a{1000}){1000}", r"^(?:a.test\/(?<p1>.*))$", r"^(?:a.test(?:[:][0-9]+)?\/(?<p2>.*))$",
        r"^(?:a.test(?:[:][0-9]+)?\/(?:.*))$", r"^(?:a.test|b.test(?:[:][0-9]+)?\/(?<p1>.*))$",
        r"^(?:.*(?:[:][0-9]+)?\/(?<p1>.*))$", r"^(?:A.test(?:[:][0-9]+)?\/(?<p1>.*))$",
        r"^(?:a\.b.test(?:[:][0-9]+)?\/(?<p1>.*))$", r"^(?:-a.test(?:[:][0-9]+)?\/(?<p1>.*))$",
        r"^(?:a..test(?:[:][0-9]+)?\/(?<p1>.*))$", r"^(?:a.test(?:[:][0-9]+)?\/(?<p1>.*))$" + "\n",
        r"^(?:xn--a.test(?:[:][0-9]+)?\/(?<p1>.*))$", "^(?:" + "a" * 64 + r"(?:[:][0-9]+)?\/(?<p1>.*))$",
    ],
)  # fmt: skip
def test_a_pattern_of_no_known_shape_is_never_guessed_at(pattern: str) -> None:
    with pytest.raises(PatternUnknown):
        known_pattern(pattern)


@given(st.lists(st.tuples(HOSTS, st.booleans()), unique_by=lambda each: each[0], max_size=12))
def test_shadowed_names_each_pattern_that_takes_a_later_one_s_host(hosts: list[tuple[str, bool]]) -> None:
    patterns = [KnownPattern(host, is_exact) for host, is_exact in hosts]
    texts = [pattern_of(each.host.replace(".", r"\.") if each.is_exact else each.host) for each in patterns]
    wrong = {
        (earlier, later)
        for later in range(len(patterns))
        for earlier in range(later)
        if re2.compile(texts[earlier]).match(f"{patterns[later].host}/") is not None
    }
    assert set(shadowed(patterns)) == wrong


def test_script_hashes_follow_from_pipelines() -> None:
    one = Pipeline(1, "a" * 22)
    assert script_hash_of(one) == script_hash_of(Pipeline(1, "a" * 22))
    others = [Pipeline(2, "a" * 22), Pipeline(1, "b" * 22), Pipeline(1, "a" * 22, is_preview=True)]
    assert len({script_hash_of(each) for each in (one, *others)}) == 4
