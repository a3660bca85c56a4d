"""The policy: the first rule that speaks wins, buckets are stable, and shares are what was asked for."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from router.policy import BUCKETS, Percentage, Policy, RuleName, Scheme, SiteRule, Split, site_bucket

SITES = st.integers(1, 2**32 - 1)
SCHEMES = st.sampled_from(list(Scheme))
PERCENTS = st.floats(0, 100).map(lambda percent: round(percent, 2))
EVERY_RULE = Policy(
    default=Scheme.HASHED,
    pins={7: Scheme.LEGACY},
    splits={7: Split(50.0)},
    data_centres={"here": Scheme.LEGACY_COMPILED},
    percentage=Percentage(100.0, Scheme.LEGACY),
    salt="s",
)


def test_the_first_rule_that_speaks_wins() -> None:
    policy = EVERY_RULE
    assert policy.rule_of(7, "here") == SiteRule(RuleName.PIN, Scheme.LEGACY)
    policy = replace(policy, pins={})
    assert policy.rule_of(7, "here") == SiteRule(RuleName.SPLIT, Scheme.LEGACY, Split(50.0))
    policy = replace(policy, splits={})
    assert policy.rule_of(7, "here") == SiteRule(RuleName.DATA_CENTRE, Scheme.LEGACY_COMPILED)
    assert policy.rule_of(7, "there") == SiteRule(RuleName.PERCENTAGE, Scheme.LEGACY)
    policy = replace(policy, percentage=None)
    assert policy.rule_of(7, "there") == SiteRule(RuleName.DEFAULT, Scheme.HASHED)


def test_rules_of_one_site_say_nothing_of_another() -> None:
    policy = replace(EVERY_RULE, data_centres={}, percentage=None)
    assert policy.rule_of(8, "here") == policy.rule_of(None, "here") == SiteRule(RuleName.DEFAULT, Scheme.HASHED)


def test_a_store_without_a_policy_is_hashed_everywhere() -> None:
    assert Policy().rule_of(1, "anywhere") == SiteRule(RuleName.DEFAULT, Scheme.HASHED)


@given(SITES, PERCENTS, PERCENTS)
def test_raising_a_percentage_moves_no_site_back(site_no: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    before = Policy(default=Scheme.LEGACY, percentage=Percentage(low)).rule_of(site_no, "")
    after = Policy(default=Scheme.LEGACY, percentage=Percentage(high)).rule_of(site_no, "")
    assert before.scheme is Scheme.LEGACY or after.scheme is Scheme.HASHED


@given(st.text(), st.text(max_size=16), PERCENTS, PERCENTS)
def test_raising_a_split_moves_no_client_back(client: str, salt: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    bucket = Policy(salt=salt).client_bucket(client)
    assert bucket == Policy(salt=salt).client_bucket(client)
    assert Split(low).arm(bucket) is Scheme.LEGACY or Split(high).arm(bucket) is Scheme.HASHED


@given(SITES, st.text(max_size=16))
def test_nobody_is_in_at_0_percent_and_everybody_at_100(site_no: int, client: str) -> None:
    for bucket in (site_bucket(site_no), Policy().client_bucket(client)):
        assert 0 <= bucket < BUCKETS
        assert Split(0.0).arm(bucket) is Scheme.LEGACY
        assert Split(100.0).arm(bucket) is Scheme.HASHED


def test_buckets_are_even() -> None:
    """Of 100,000 each: a share is within half a percent of what was asked for."""
    policy = Policy(salt="salt")
    sites = [site_bucket(number) for number in range(1, 100_001)]
    clients = [policy.client_bucket(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(100_000)]
    for buckets in (sites, clients):
        for percent in (1.0, 10.0, 50.0, 90.0):
            share = sum(Split(percent).arm(bucket) is Scheme.HASHED for bucket in buckets) / 1_000
            assert abs(share - percent) < 0.5


def test_another_salt_deals_clients_anew() -> None:
    clients = [f"192.0.2.{n}" for n in range(200)]
    one, other = Policy(salt="one"), Policy(salt="other")
    assert [one.client_bucket(each) for each in clients] != [other.client_bucket(each) for each in clients]


@given(SITES, SCHEMES, st.booleans())
def test_server_timing_is_a_site_s_or_everyone_s(site_no: int, scheme: Scheme, everywhere: bool) -> None:
    policy = Policy(default=scheme, server_timing=frozenset({7}), server_timing_everywhere=everywhere)
    assert policy.tells_timing(site_no) == (everywhere or site_no == 7)
