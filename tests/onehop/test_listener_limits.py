"""The setting that changes the listener's limits."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from onehop.config import ConfigRefused, load_config
from onehop.listener_limits import RANGES, parse_limits, with_limits
from router.http1.limits import HttpLimits

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"


def test_what_is_given_is_changed_and_nothing_else() -> None:
    limits = with_limits(HttpLimits(), parse_limits(" head_s=5, idle_s=0.5,connections_per_address_max=100,"))
    assert limits == HttpLimits(head_s=5.0, idle_s=0.5, connections_per_address_max=100)
    assert with_limits(HttpLimits(), parse_limits("")) == HttpLimits()


def test_a_file_may_have_a_table() -> None:
    assert parse_limits(tomllib.loads("limits = {head_s = 2.5, header_count_max = 50}")["limits"]) == {
        "head_s": 2.5,
        "header_count_max": 50,
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("heads_s=5", "there's no 'heads_s'"),
        ("head_s", "head_s is seconds from 0.1 to 3600"),
        ("head_s=0", "head_s is seconds"),
        ("head_s=1e3", "head_s is seconds"),
        ("header_count_max=10.5", "a whole number from 10 to 1000"),
        ("header_count_max=\u0665\u0665", "a whole number"),
        ("idle_s=5 head_s=5", "idle_s is seconds"),
        ("head_s=1,idle_s=5, head_s=2", "head_s comes twice"),
    ],
)
def test_what_is_no_limit_is_said_with_what_would_be(given: str, said: str) -> None:
    with pytest.raises(ConfigRefused) as refused:
        load_config({"limits": given}, {})
    assert said in refused.value.problems[0]
    assert refused.value.problems[0].startswith("--limits is ")


def test_each_limit_that_can_be_set_is_one_has_its_default_in_range_and_is_documented() -> None:
    names = {each.name for each in fields(HttpLimits)}
    for name, (low, high) in RANGES.items():
        default = getattr(HttpLimits(), name)
        assert name in names
        assert default is None or low <= default <= high
        assert f"`{name}`" in OPERATING.read_text()
