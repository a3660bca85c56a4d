"""The same requests to `wrangler pages dev` and to Onehop's edge, over real sockets, answer for answer.

corpus.py holds sites made for each rule of spec/pages-serving.md; random_sites.py makes more, the same at each run;
differences.py names what may differ, and how.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import LiveServer, serving
from tests.parity.asking import Answer, Ask, Site, ask_server
from tests.parity.corpus import SITES
from tests.parity.differences import compare
from tests.parity.etags import with_etags
from tests.parity.pages_dev import PagesDev, running_pages_dev, write_site
from tests.parity.random_sites import random_site
from tests.real_parts import find_wrangler

RANDOM_SITES_COUNT: Final = 60
UNCOMPARABLE_SHARE_MAX: Final = 1 / 3  # of a random site's answers: more, and the site proves nothing


@dataclass(frozen=True, slots=True)
class Both:
    """The two servers, ready to be asked the same about a site."""

    pages: PagesDev
    onehop: LiveServer
    work: Path

    def serve(self, site: Site) -> None:
        folder = self.work / site.name
        write_site(site, folder)
        self.onehop.cli("deploy", str(folder), "--project", site.name, "--branch", "main", "--json")
        self.pages.serve(site)

    def ask(self, ask: Ask, site: Site) -> tuple[Answer, Answer]:
        question = with_etags(ask, site)
        host = f"{site.name}.pages.localhost:{self.onehop.edge_port}"
        theirs = self.pages.ask(question, host=host)
        return theirs, ask_server(question, port=self.onehop.edge_port, host=host)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    wrangler = find_wrangler("4.86")
    work = tmp_path_factory.mktemp("parity")
    with running_pages_dev(wrangler, work / "pages") as pages, serving(work / "data") as onehop:
        yield Both(pages, onehop, work / "sites")


def problems_of(both: Both, site: Site) -> tuple[list[str], int]:
    """What differs without an explanation, a paragraph a request, and how many answers said nothing."""
    both.serve(site)
    problems = []
    uncomparable_count = 0
    for ask in site.asks:
        theirs, ours = both.ask(ask, site)
        verdict = compare(site, ask, theirs, ours)
        uncomparable_count += bool(verdict.allowances & {"7", "dev double slashes"})
        if verdict.problems:
            problems.append("\n    ".join([str(ask), *verdict.problems]))
    return problems, uncomparable_count


def fail_for(site: Site, problems: list[str], *, shows_rules: bool) -> None:
    told = [f"{len(problems)} of {len(site.asks)} answers of {site.name} ({site.covers}) differ", *problems]
    if shows_rules:
        told += [f"files: {site.paths()}", f"_redirects:\n{site.redirects}", f"_headers:\n{site.headers}"]
    pytest.fail("\n".join(told), pytrace=False)


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_a_site_made_for_a_rule_is_answered_as_pages_answers_it(both: Both, site: Site) -> None:
    problems, _uncomparable_count = problems_of(both, site)
    if problems:
        fail_for(site, problems, shows_rules=False)


@pytest.mark.parametrize("number", range(RANDOM_SITES_COUNT))
def test_a_random_site_is_answered_as_pages_answers_it(both: Both, number: int) -> None:
    site = random_site(number)
    problems, uncomparable_count = problems_of(both, site)
    if problems:
        fail_for(site, problems, shows_rules=True)
    assert uncomparable_count <= UNCOMPARABLE_SHARE_MAX * len(site.asks)
