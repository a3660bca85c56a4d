"""The hosts of a site (pages-serving 11): production, each deployment, each branch, and the way back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.hostname import Hostname
from router.site_names import SiteNames

NAMES = SiteNames("pages.localhost")
LABELS = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True)


def test_11_a_site_is_a_label_below_the_pages_domain() -> None:
    assert NAMES.production("example").name == "example.pages.localhost"


def test_11_a_deployment_and_a_branch_are_one_label_further() -> None:
    assert NAMES.deployment("example", "2b469e16").name == "2b469e16.example.pages.localhost"
    assert NAMES.alias("example", "fix-menu").name == "fix-menu.example.pages.localhost"


@given(LABELS, LABELS)
def test_a_host_leads_back_to_its_site_and_label(site: str, label: str) -> None:
    assert NAMES.split(NAMES.production(site)) == (site, None)
    assert NAMES.split(NAMES.deployment(site, label)) == (site, label)
    assert NAMES.split(NAMES.alias(site, label)) == (site, label)


@pytest.mark.parametrize(
    "name", ["pages.localhost", "a.b.c.pages.localhost", "example.test", "notpages.localhost", "localhost"]
)
def test_other_hosts_lead_to_no_site(name: str) -> None:
    assert NAMES.split(Hostname(name)) is None


def test_what_lies_below_the_pages_domain_is_told_from_what_only_ends_like_it() -> None:
    assert NAMES.is_below_pages_domain(Hostname("pages.localhost"))
    assert NAMES.is_below_pages_domain(Hostname("a.b.c.pages.localhost"))
    assert not NAMES.is_below_pages_domain(Hostname("mypages.localhost"))
