"""pages-serving 4.4, differences 9 and 26."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asset_server.template import Template, fill, names_in


@pytest.mark.parametrize("text", ["a$$b", "$&", "$'", "\\1", "\\g<0>", ":b"])
def test_4_4_difference_9_captured_text_is_put_in_as_it_is(text: str) -> None:
    assert fill("/d/:a/:b", {"a": text, "b": "2"}) == f"/d/{text}/2"


def test_4_4_difference_9_names_match_whole_and_unknown_ones_stay() -> None:
    assert fill("/:ab/:a/:abc/:other", {"a": "1", "ab": "2"}) == "/2/1/:abc/:other"


@given(st.lists(st.sampled_from([":a", ":ab", ":other", "é", "/", "x"])).map("".join), st.text("xyz"), st.text("xyz"))
def test_difference_26_the_length_of_a_filled_text_is_known_before(text: str, first: str, second: str) -> None:
    captured = {"a": first, "ab": second}
    template = Template.parse(text, captured.keys())
    assert template.fill(captured) == fill(text, captured)
    assert template.filled_bytes(captured) == len(fill(text, captured).encode())
    assert bool(template.places) == bool(captured.keys() & names_in(text))
