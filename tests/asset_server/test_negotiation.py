import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.manifest import ENCODINGS_ALL, Encodings
from asset_server.negotiation import ELEMENTS_MAX, choose_encoding, parse_accept_encoding

NONE, BR, GZIP, ZSTD = Encodings.NONE, Encodings.BR, Encodings.GZIP, Encodings.ZSTD

weights = st.sampled_from(["", ";q=0", ";q=0.0", ";q=0.001", ";q=0.5", ";q=1", ";q=1.000", "; q=0.75", " ;\tQ=0.25"])
codings = st.sampled_from(["br", "gzip", "x-gzip", "zstd", "identity", "*", "deflate", "BR", "Gzip"])
elements = st.tuples(codings, weights).map("".join)
fields = st.lists(elements, max_size=6).map(", ".join).map(str.encode)


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        (b"gzip, deflate, br, zstd", BR),
        (b"gzip, zstd", ZSTD),
        (b"gzip", GZIP),
        (b"x-gzip", GZIP),
        (b"GZIP", GZIP),
        (b"deflate", NONE),
        (b"", NONE),
        (b"identity", NONE),
        (b"br;q=0, gzip", GZIP),
        (b"br;q=0", NONE),
        (b"br;q=0.0", NONE),
        (b"br;q=0.5, gzip;q=0.8", GZIP),
        (b"br;q=0.001", BR),
        (b"gzip;q=1.0, br;q=1.000", BR),
        (b"identity, br;q=0.5", NONE),
        (b"identity;q=0.5, br;q=0.5", BR),
        (b"*", BR),
        (b"*;q=0", None),
        (b"*;q=0, gzip", GZIP),
        (b"*;q=0, identity", NONE),
        (b"identity;q=1, *;q=0", NONE),
        (b"br;q=0, *", ZSTD),
        (b"identity;q=0", None),
        (b"identity;q=0, br", BR),
        (b"identity;q=0, deflate", None),
        (b"gzip ; q=0.5 , br ; Q=0.4", GZIP),
        (b",, gzip ,", GZIP),
        (b"\tbr\t", BR),
        (b"gzip;q=0, gzip", NONE),
    ],
)
def test_7_row_6_accept_encoding_table(value: bytes, chosen: Encodings | None) -> None:
    assert choose_encoding([value], ENCODINGS_ALL) == chosen


def test_without_the_field_identity_is_sent() -> None:
    assert choose_encoding([], ENCODINGS_ALL) == NONE


def test_only_available_forms_are_chosen() -> None:
    assert choose_encoding([b"br, gzip"], GZIP) == GZIP
    assert choose_encoding([b"br"], GZIP) == NONE
    assert choose_encoding([b"br, identity;q=0"], GZIP) is None


def test_7_row_7_406_only_if_identity_is_excluded_and_nothing_else_fits() -> None:
    assert choose_encoding([b"identity;q=0"], NONE) is None
    assert choose_encoding([b"*;q=0"], NONE) is None
    assert choose_encoding([b"br;q=0"], NONE) == NONE


def test_field_lines_are_one_list() -> None:
    assert choose_encoding([b"gzip;q=0.1", b"br;q=0.2"], ENCODINGS_ALL) == BR


@pytest.mark.parametrize(
    "value",
    [
        b"br;q=1.001",
        b"br;q=2",
        b"br;q=-0",
        b"br;q=.5",
        b"br;q=0.1234",
        b"br;q=",
        b"br;x=1",
        b"b r",
        b"br;q=1;q=1",
        b"br;q =1",
        b"br;q= 1",
        b"\xa0br",
        b"br\xa0",
        b"\x85br",
        b"br;q=\xd9\xa1",
        b"br\x0b",
        b'"br"',
    ],
)
def test_hardening_76_elements_outside_the_grammar_say_nothing(value: bytes) -> None:
    assert parse_accept_encoding([value]) == {}
    assert choose_encoding([value], ENCODINGS_ALL) == NONE


def test_elements_are_bounded() -> None:
    assert parse_accept_encoding([b"a," * 10_000 + b"br"]) == {b"a": 1000}
    assert len(parse_accept_encoding([b",".join(b"x%d" % n for n in range(10_000))])) == ELEMENTS_MAX


@given(fields, st.integers(0, 7).map(Encodings))
@settings(max_examples=300, deadline=None)
def test_what_is_sent_was_not_refused(field: bytes, available: Encodings) -> None:
    """Against a plain reading of the field: the weight of each name, `*` for those not named."""
    named: dict[str, float] = {}
    for element in field.decode().lower().split(","):
        name, _, weight = element.partition(";")
        if name.strip():
            name = name.strip().removeprefix("x-") if name.strip() == "x-gzip" else name.strip()
            value = float(weight.partition("=")[2] or 1) if weight else 1.0
            known = named.get(name)
            named[name] = value if known is None else (max if name == "gzip" else min)(known, value)
    chosen = choose_encoding([field], available)
    if chosen is None:
        assert named.get("identity", named.get("*")) == 0
    elif chosen is NONE:
        assert named.get("identity", named.get("*", 1)) != 0
    else:
        name = str(chosen.name).lower()
        assert chosen in available
        assert named.get(name, named.get("*", 0)) > 0


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_get_an_answer(field: bytes) -> None:
    assert choose_encoding([field], ENCODINGS_ALL) in (None, NONE, BR, GZIP, ZSTD)
