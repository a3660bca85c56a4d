"""What is written and read back: values, durations, names, configs, errors."""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.duration import DurationRefused, parse_duration_ms, parse_sleep_ms
from workflows.errors import Failure, NonRetryableError, PayloadTooLarge, StepError, is_non_retryable
from workflows.identity import kebab_case, step_key
from workflows.retry import retry_delay_ms
from workflows.serialisation import UNREADABLE, Unserialisable, deserialise, serialise, serialise_limited, shown
from workflows.states import Command, Status, Verdict, foreseen, judge
from workflows.step_config import StepConfig

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids() | st.dates() | st.datetimes(timezones=st.just(UTC)) | st.timedeltas()
)  # fmt: skip
KEYS = TEXT | st.integers() | st.just("$")
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner, inner), max_leaves=20
)


@given(VALUES)
def test_a_value_comes_back_equal_and_of_its_kind(value: Any) -> None:
    again = deserialise(serialise(value))
    assert again == value
    assert type(again) is type(value)


@given(VALUES)
def test_every_value_can_be_shown_as_json(value: Any) -> None:
    shown(serialise(value))


def test_values_that_json_lacks() -> None:
    @dataclass
    class Point:
        x: int
        y: Any

    values = [
        (float("inf"), float("inf")), (2**70, 2**70), ({1, 2}, {1, 2}), (frozenset("a"), {"a"}),
        (Point(1, (2,)), {"x": 1, "y": (2,)}),
        (time(1, 2), time(1, 2)), (timedelta(days=-1), timedelta(days=-1)), (bytearray(b"x"), b"x"),
        (date(2026, 1, 1), date(2026, 1, 1)), (Decimal("1.10"), Decimal("1.10")), (UUID(int=1), UUID(int=1)),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        ({"$": "bytes", "v": "eA=="}, {"$": "bytes", "v": "eA=="}),
    ]  # fmt: skip
    for value, expected in values:
        assert deserialise(serialise(value)) == expected
    assert math.isnan(deserialise(serialise(float("nan"))))
    assert shown(serialise({"b": b"xyz", "d": Decimal("1.5")})) == {"b": "[bytes(3 bytes)]", "d": "1.5"}


@dataclass(frozen=True)
class Place:
    row: int


MEMBERS = st.recursive(
    SCALARS | st.builds(Place, st.integers(0, 9)),
    lambda inner: st.frozensets(inner, max_size=2) | st.tuples(inner, inner),
    max_leaves=4,
)


@given(st.sets(MEMBERS, max_size=3) | st.dictionaries(MEMBERS, st.integers(0, 9), max_size=3))
def test_a_set_or_dict_is_read_back_or_refused(value: Any) -> None:
    try:
        data = serialise(value)
    except Unserialisable:
        return
    assert len(deserialise(data)) == len(value)


@pytest.mark.parametrize("value", [{frozenset([1])}, {Place(1)}, {Place(1): 2}, {(1, frozenset())}, {frozenset(): 1}])
def test_members_that_read_back_have_no_hash_are_refused(value: Any) -> None:
    with pytest.raises(Unserialisable, match="use a tuple"):
        serialise(value)


def test_what_cannot_be_read_back_is_shown_as_such() -> None:
    assert shown(b'{"$":"set","v":[{"$":"set","v":[1]}]}') == UNREADABLE
    assert shown(b'{"$":"decimal","v":"a"}') == UNREADABLE


@pytest.mark.parametrize("digits_count", [4250, 5000])
def test_an_int_of_more_digits_than_python_reads_is_refused(digits_count: int) -> None:
    assert deserialise(serialise(10**4200)) == 10**4200
    with pytest.raises(Unserialisable, match="bits"):
        serialise(10**digits_count)


@pytest.mark.parametrize("value", ["x" * 2000, b"x" * 2000, [1] * 2000, [["x" * 300] * 2] * 3, {"a": ("x" * 2000,)}])
def test_far_too_large_a_value_is_refused_before_it_is_written(value: Any) -> None:
    with pytest.raises(PayloadTooLarge, match="at least"):
        serialise_limited(value, "it", 1000)


@pytest.mark.parametrize("value", [object(), lambda: 1, (n for n in "a"), "\ud800", {"a": {"b": print}}, type])
def test_what_has_no_stored_form_is_refused(value: Any) -> None:
    with pytest.raises(Unserialisable):
        serialise(value)


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        (0, 0), (1500, 1500), (0.2, 1), ("250", 250), ("1 second", 1000), ("30 seconds", 30_000), ("1 min", 60_000),
        ("2 mins", 120_000), ("1 sec", 1000), ("3 hrs", 10_800_000), ("5 ms", 5), ("1.5 hours", 5_400_000),
        ("1e3 ms", 1000), ("1  day", 86_400_000), ("1 week", 604_800_000), ("1 month", 2_592_000_000),
        ("1 year", 31_557_600_000), (timedelta(seconds=2), 2000),
    ],
)  # fmt: skip
def test_row_53_durations(written: Any, ms: int) -> None:
    assert parse_duration_ms(written) == ms


@pytest.mark.parametrize(
    "written",
    [
        "5m",
        "1 m",
        "10 foos",
        "1 hour 5 minutes",
        "abc",
        "",
        "-5",
        -1,
        "-1 day",
        math.nan,
        math.inf,
        True,
        None,
        [],
        "1 Minutess",
        2**63,
        2**2000,
        1e300,
        "101 years",
    ],
)
def test_what_is_no_duration(written: Any) -> None:
    with pytest.raises(DurationRefused):
        parse_duration_ms(written)


def test_a_sleep_has_at_most_365_days() -> None:
    assert parse_sleep_ms("365 days") == 365 * 86_400_000
    with pytest.raises(DurationRefused):
        parse_sleep_ms("366 days")


def test_row_03_the_tenth_exponential_delay_of_10_s_is_5120_s_and_all_are_capped() -> None:
    assert retry_delay_ms(10_000, "exponential", 10) == 5_120_000
    assert retry_delay_ms(10_000, "exponential", 10_000) == 365 * 86_400_000


def test_row_70_the_kinds_never_share_a_key() -> None:
    keys = {
        step_key("do", "w-1", 1),
        step_key("waitForEvent", "w", 1),
        step_key("do", "a1000", 1),
        step_key("sleep", "a", 1),
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("class_name", "name"),
    [("OrderProcessing", "order-processing"), ("HTTPFetch", "http-fetch"), ("A", "a"), ("my_Flow", "my-flow")],
)
def test_a_workflow_is_named_after_its_class(class_name: str, name: str) -> None:
    assert kebab_case(class_name) == name


@pytest.mark.parametrize(
    "options",
    [
        None,
        {},
        {"timeout": "2 minutes"},
        {"retries": {"limit": math.inf, "delay": 5}},
        {"retries": {"limit": 0, "delay": "1 day", "backoff": "linear"}, "sensitive": "output"},
    ],
)
def test_a_config_comes_back_from_its_stored_form(options: Any) -> None:
    config = StepConfig.parse(options)
    assert StepConfig.decode(config.encode()) == config


def test_a_stored_delay_function_is_taken_from_the_code_that_runs() -> None:
    stored = StepConfig.parse({"retries": {"limit": 1, "delay": lambda given: 5}}).encode()
    live = StepConfig.parse({"retries": {"limit": 9, "delay": lambda given: 7}})
    taken = StepConfig.decode(stored, live)
    assert (taken.retries_limit, taken.delay_function) == (1, live.delay_function)
    assert StepConfig.decode(stored, StepConfig.parse(None)).delay_ms == 1000


@pytest.mark.parametrize(
    "error",
    [
        ValueError("v"),
        KeyError("k"),
        NonRetryableError("n", name="Mine"),
        OSError(2, "no file"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "y"),
    ],
)
def test_an_error_comes_back_with_its_name_and_text(error: Exception) -> None:
    failure = Failure.of(error)
    again = failure.error()
    assert failure.name in (type(again).__name__, getattr(again, "name", None))
    assert isinstance(again, (StepError, type(error)))


def test_an_error_without_a_text_is_stored_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert Failure.of(Mute()).name == "Mute"
    assert is_non_retryable(NonRetryableError())


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("command", list(Command))
def test_every_command_has_a_verdict_in_every_state(status: Status, command: Command) -> None:
    verdict = judge(status, command)
    assert verdict in Verdict
    if verdict is Verdict.DO and command not in (Command.DELETE, Command.RESTART):
        assert not status.is_terminal
    assert foreseen(status, command) is None or command is not Command.DELETE
