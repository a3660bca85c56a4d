"""A route's value: small, and read only in the one form that it is written in."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.kv.schema import ROUTE_KEY_BYTES
from router.pipeline import SITE_NO_MAX, Pipeline, PipelineUnreadable

CONTENT_IDS = st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True)
PIPELINES = st.builds(
    Pipeline,
    site_no=st.integers(1, SITE_NO_MAX),
    manifest=CONTENT_IDS,
    function=st.none() | CONTENT_IDS,
    kept=st.none() | CONTENT_IDS,
    is_preview=st.booleans(),
)
STATIC = Pipeline(7, "6W0pZlHGtHJYMW0mGjB0oA")


@given(PIPELINES)
def test_what_is_encoded_is_read_back(pipeline: Pipeline) -> None:
    assert Pipeline.parse(pipeline.encode()) == pipeline


@given(st.builds(Pipeline, site_no=st.integers(1, SITE_NO_MAX), manifest=CONTENT_IDS, is_preview=st.booleans()))
def test_a_static_route_takes_at_most_80_bytes_with_its_key(pipeline: Pipeline) -> None:
    assert ROUTE_KEY_BYTES + len(pipeline.encode()) <= 80


@given(PIPELINES, st.data())
def test_a_flipped_bit_is_noticed_or_names_something_else(pipeline: Pipeline, data: st.DataObject) -> None:
    value = bytearray(pipeline.encode())
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    value[bit // 8] ^= 1 << bit % 8
    with suppress(PipelineUnreadable):
        assert Pipeline.parse(bytes(value)) != pipeline


@given(PIPELINES, st.data())
def test_a_cut_value_is_unreadable(pipeline: Pipeline, data: st.DataObject) -> None:
    value = pipeline.encode()
    with pytest.raises(PipelineUnreadable):
        Pipeline.parse(value[: data.draw(st.integers(0, len(value) - 1))])


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"v":2,"s":7,"a":"6W0pZlHGtHJYMW0mGjB0oA"}',
        b'{"v":true,"s":7,"a":"6W0pZlHGtHJYMW0mGjB0oA"}',
        b'{"v":1,"s":0,"a":"6W0pZlHGtHJYMW0mGjB0oA"}',
        b'{"v":1,"s":4294967296,"a":"6W0pZlHGtHJYMW0mGjB0oA"}',
        b'{"v":1,"s":7.0,"a":"6W0pZlHGtHJYMW0mGjB0oA"}',
        b'{"v":1,"s":7}',
        b'{"v":1,"s":7,"a":"short"}',
        b'{"v":1,"s":7,"a":"6W0pZlHGtHJYMW0mGjB0o/"}',
        b'{"v":1,"s":7,"a":"6W0pZlHGtHJYMW0mGjB0oA","p":0}',
        b'{"v":1,"s":7,"a":"6W0pZlHGtHJYMW0mGjB0oA","p":true}',
        b'{"v":1,"s":7,"a":"6W0pZlHGtHJYMW0mGjB0oA","x":1}',
        b'{"v":1,"s":7,"a":"6W0pZlHGtHJYMW0mGjB0oA","s":7}',
        b'{"s":7,"v":1,"a":"6W0pZlHGtHJYMW0mGjB0oA"}',
        b'{"v":1, "s":7,"a":"6W0pZlHGtHJYMW0mGjB0oA"}',
        b'{"v":1,"s":7,"a":"6W0pZlHGtHJYMW0mGjB0oA"}\n',
    ],
)
def test_65_82_any_other_form_is_unreadable_rather_than_guessed_at(value: bytes) -> None:
    with pytest.raises(PipelineUnreadable):
        Pipeline.parse(value)
