"""Spans read well and never claim more time than passed."""

import pytest

from workflows.spans import show_span


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [
        (0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (1849, "1.8 s"), (59_999, "59.9 s"), (60_000, "1 min"),
        (123_000, "2 min 3 s"), (3_600_000, "1 h"), (3_599_999, "59 min 59 s"), (86_400_000 * 2 + 3_600_000, "2 d 1 h"),
    ],
)  # fmt: skip
def test_a_span_is_told_in_at_most_two_units(span_ms: int, text: str) -> None:
    assert show_span(span_ms) == text
