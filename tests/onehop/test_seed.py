"""Seeded deployments are real ones: served, listed, sound under a check."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onehop.seed import RouteHeap, SeedPlan, SeedRefused
from tests.conftest import Serve


def test_seeded_sites_are_served_listed_and_sound(serve: Serve) -> None:
    server = serve()
    told = json.loads(server.cli("seed", "--sites", "3", "--deployments", "20", "--json").stdout)
    assert told["deployments"] == 20
    deployments = json.loads(server.cli("deployment", "list", told["first_site"], "--json").stdout)
    assert len(deployments) == 7
    for host in (told["example_host"], f"{deployments[-1]['short_id']}.{told['example_host']}"):
        assert server.get(host).status == 200
    assert server.cli("check").returncode == 0


def test_seeding_again_adds_other_sites(serve: Serve) -> None:
    server = serve()
    for _ in range(2):
        server.cli("seed", "--sites", "2", "--deployments", "4")
    assert [site["name"] for site in json.loads(server.cli("site", "list", "--json").stdout)] == [
        "seed-1", "seed-2", "seed-3", "seed-4",
    ]  # fmt: skip
    assert server.cli("check").returncode == 0


def test_seeded_site_takes_a_real_deploy(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    server.cli("seed", "--sites", "1", "--deployments", "3")
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("real")
    server.cli("deploy", str(site), "--project", "seed-1", cwd=site)
    assert server.get("seed-1.pages.localhost").body == b"real"
    assert server.cli("check").returncode == 0


@pytest.mark.parametrize(("sites", "deployments"), [(0, 1), (2, 1), (1, 2**31)])
def test_impossible_plans_are_refused(sites: int, deployments: int) -> None:
    with pytest.raises(SeedRefused):
        SeedPlan(sites, deployments)


@given(st.integers(1, 50), st.integers(1, 5_000))
def test_every_deployment_has_a_site_and_ids_ascend(sites: int, more: int) -> None:
    plan = SeedPlan(sites, sites + more)
    assert sum(plan.deployments_of(number) for number in range(sites)) == plan.deployments_count
    ids = [plan.deployment_id(number, bytes(12)) for number in range(plan.deployments_count)]
    assert ids == sorted(set(ids))
    assert {len(each) for each in ids} == {16}


@given(st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.integers(1, 2**31 - 1), st.booleans())))
def test_route_heap_gives_back_what_it_got_in_key_order(rows: list[tuple[bytes, int, bool]]) -> None:
    heap = RouteHeap()
    for route_key, site_no, is_preview in rows:
        heap.add(route_key, site_no=site_no, is_preview=is_preview)
    found = list(heap.sorted_rows())
    assert sorted(found) == sorted(rows)
    assert [key for key, _, _ in found] == sorted(key for key, _, _ in rows)
