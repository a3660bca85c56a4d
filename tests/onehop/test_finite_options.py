"""Numbers that aren't any are refused as options: nan is neither below nor above a bound, inf below none."""

import pytest

from onehop.__main__ import main

OPTIONS = [
    ("migrate", "run", "--rate"),
    ("migrate", "run", "--bytes-rate"),
    ("migrate", "retry", "--rate"),
    ("migrate", "set", "--rate"),
    ("migrate", "set", "--bytes-rate"),
    ("migrate", "rollout", "--to"),
    ("migrate", "rollout", "--step"),
    ("migrate", "rollout", "--hold"),
    ("keys", "rotate", "--rate"),
    ("workflow", "worker", "--module", "json", "--drain-s"),
]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "NaN", "1e999"])
@pytest.mark.parametrize("option", OPTIONS, ids=" ".join)
def test_what_is_no_number_is_refused_as_usage(
    option: tuple[str, ...], value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*option, value]) == 2
    told = capsys.readouterr().err
    assert option[-1] in told
    assert told.count("\n") == 1


def test_a_time_of_a_thousand_digits_is_refused() -> None:
    assert main(["migrate", "rollout", "--hold", "9" * 1_000]) == 2
