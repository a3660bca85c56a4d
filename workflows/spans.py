"""How long, in words that fit a column: `120 ms`, `1.8 s`, `2 min 3 s`, `3 h 4 min`, `2 d 3 h`."""

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def show_span(span_ms: int) -> str:
    """Never longer than the span: 59.99 s are no minute."""
    if span_ms < SECOND_MS:
        return f"{span_ms} ms"
    if span_ms < MINUTE_MS:
        tenths = span_ms // 100
        return f"{tenths // 10} s" if tenths % 10 == 0 else f"{tenths / 10} s"
    for unit_ms, unit, part_ms, part in (
        (DAY_MS, "d", HOUR_MS, "h"),
        (HOUR_MS, "h", MINUTE_MS, "min"),
        (MINUTE_MS, "min", SECOND_MS, "s"),
    ):
        if span_ms >= unit_ms:
            rest = span_ms % unit_ms // part_ms
            return f"{span_ms // unit_ms} {unit}" + (f" {rest} {part}" if rest else "")
    raise AssertionError("a minute at least")
