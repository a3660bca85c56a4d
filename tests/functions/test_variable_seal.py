import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.variable_seal import SealBroken, VariableSeal

SEAL = VariableSeal(key=bytes(range(32)))
text = st.text(st.characters(exclude_categories=["Cs"]))


@given(text, text)
def test_a_sealed_value_opens_to_itself(value: str, name: str) -> None:
    sealed = SEAL.seal(value, site_no=1, name=name)
    assert SEAL.open(sealed, site_no=1, name=name) == value


def test_the_same_value_is_never_sealed_to_the_same_text() -> None:
    assert SEAL.seal("x", site_no=1, name="A") != SEAL.seal("x", site_no=1, name="A")


def test_a_sealed_value_does_not_open_elsewhere() -> None:
    sealed = SEAL.seal("x", site_no=1, name="A")
    for site_no, name, seal in [(2, "A", SEAL), (1, "B", SEAL), (1, "A", VariableSeal(key=bytes(32)))]:
        with pytest.raises(SealBroken):
            seal.open(sealed, site_no=site_no, name=name)


@pytest.mark.parametrize("sealed", ["", "x", "sealed:1:", "sealed:1:AAAA", "sealed:1:\u00e9"])
def test_what_was_never_sealed_does_not_open(sealed: str) -> None:
    with pytest.raises(SealBroken):
        SEAL.open(sealed, site_no=1, name="A")


def test_a_repr_does_not_hold_the_key() -> None:
    assert "key" not in repr(SEAL)
