"""One normal form, and everything else refused; hardening 21 and 23 to 26, as far as they concern the name."""

import string

import idna
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.hostname import NAME_BYTES_MAX, Hostname, HostRefused

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True).filter(lambda x: not x.startswith("xn--"))
NAMES = st.lists(LABELS, min_size=1, max_size=6).map(".".join)
PORTS = st.one_of(st.just(""), st.just(":"), st.integers(0, 65535).map(":{}".format))


def parse(authority: bytes) -> str:
    return Hostname.parse(authority).name


@given(name=NAMES, port=PORTS, dot=st.sampled_from(["", "."]), upper=st.booleans())
def test_any_spelling_of_a_name_has_one_normal_form(name: str, port: str, dot: str, upper: bool) -> None:
    spelling = (name.upper() if upper else name) + dot + port
    assert parse(spelling.encode()) == name


@given(st.binary(max_size=300))
@example(b"xn--a.example")
@example(b"xn--0.example")
def test_whatever_is_accepted_is_a_name_that_parses_to_itself(authority: bytes) -> None:
    try:
        name = parse(authority)
    except HostRefused:
        return
    assert parse(name.encode("ascii")) == name
    assert set(name) <= set(string.ascii_lowercase + string.digits + "-.")
    assert 0 < len(name) <= NAME_BYTES_MAX
    assert all(0 < len(label) <= 63 and label.strip("-") == label for label in name.split("."))


@given(st.text(alphabet=st.characters(min_codepoint=0x80, max_codepoint=0x2FFF), min_size=1, max_size=30))
def test_a_raw_name_outside_ascii_is_refused_and_its_a_labels_are_taken(label: str) -> None:
    try:
        encoded = idna.alabel(label)
    except idna.IDNAError:
        return
    with pytest.raises(HostRefused):
        parse(label.encode() + b".example")
    assert parse(encoded + b".example") == encoded.decode() + ".example"


@given(st.text(alphabet=string.ascii_lowercase + string.digits + "-", max_size=59))
def test_an_a_label_is_taken_only_if_it_is_how_its_text_is_encoded(rest: str) -> None:
    try:
        name = parse(f"xn--{rest}.example".encode())
    except HostRefused:
        return
    assert idna.encode(idna.decode(name)).decode() == name


@pytest.mark.parametrize(
    "authority",
    [
        b"",
        b" ",
        b".",
        b":80",
        b"a, b",
        b"a b",
        b"a\tb",
        b"a\x00",
        b"a\n",
        b"u:p@site.example",
        b"u@site.example",
        b"site:99999",
        b"site:65536",
        b"site:abc",
        b"site:+80",
        b"site:8_0",
        b"site:-1",
        b"site:80:80",
        b"site:000080",
        "site:٨٠".encode(),
        b"[::1]:80",
        b"[::1]",
        b"::1",
        b"site/../x",
        b"site/",
        b"site#x",
        b"site?x",
        b"site%2eexample",
        b"http://site",
        b"a..b",
        b"a.b..",
        b".a.b",
        b"-a.b",
        b"a-.b",
        b"a_b.example",
        b"*.example",
        "münchen.example".encode(),
        b"m\xfcnchen.example",
        "ｅxample.test".encode(),
        "a\u00a0.example".encode(),
        b"xn--.example",
        b"xn--99999999999.example",
        b"xn--abc.example",
    ],
)
def test_23_25_what_cannot_name_a_site_is_refused(authority: bytes) -> None:
    with pytest.raises(HostRefused):
        parse(authority)


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        (b"SITE.Example.", "site.example"),
        (b"site.example:", "site.example"),
        (b"site.example:0", "site.example"),
        (b"site.example.:65535", "site.example"),
        (b"localhost", "localhost"),
        (b"127.0.0.1:8787", "127.0.0.1"),
        (b"a---b.example", "a---b.example"),
        (b"ab--cd.example", "ab--cd.example"),
        (b"XN--MNCHEN-3YA.example", "xn--mnchen-3ya.example"),
    ],
)
def test_24_spellings_of_one_host_are_one_host(authority: bytes, name: str) -> None:
    assert parse(authority) == name


def test_26_a_label_has_up_to_63_characters_and_a_name_up_to_253() -> None:
    assert parse(b"a" * 63 + b".example")
    longest = b".".join([b"a" * 63] * 3 + [b"b" * 61])
    assert len(longest) == NAME_BYTES_MAX
    assert parse(longest + b".:65535") == longest.decode()
    for authority in (b"a" * 64, longest + b"b", longest + b"bb", longest + b"." + b"c", b"a." * 32_768):
        with pytest.raises(HostRefused):
            parse(authority)


def test_25_a_look_alike_of_two_scripts_is_another_name_than_the_one_it_resembles() -> None:
    look_alike = idna.alabel("\u0430pple")  # a Cyrillic а
    assert parse(look_alike + b".example") != "apple.example"


def test_a_refusal_says_why_and_repeats_little_of_the_input() -> None:
    with pytest.raises(HostRefused) as refused:
        parse(b"<" * 70_000)
    assert len(str(refused.value)) < 200
    assert refused.value.reason
