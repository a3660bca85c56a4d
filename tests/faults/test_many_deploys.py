"""Many deploys at once on a real server: each site's history is one line, and what began last is what is live."""

from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Final

from router.kv.schema import SITE_NO, Database
from router.kv.store import open_store
from router.records import Deployment, Site, decode_record
from tests.conftest import LiveServer, serving
from tests.faults.breakable_site import assert_check_is_clean
from tests.plain_deploy import Acknowledged, create_site, plain_deploy

SITES_COUNT: Final = 20
DEPLOYS_COUNT: Final = 200


def content_of(number: int) -> dict[str, bytes]:
    return {"index.html": f"<p>deploy {number}".encode(), "shared.txt": b"of everyone"}


def histories(data: Path) -> dict[str, tuple[Site, list[Deployment]]]:
    """Each site with its deployments, oldest first."""
    with open_store(data / "kv") as store, store.read() as snapshot:
        sites = [decode_record(Site, value) for _, value in snapshot.scan(Database.SITES)]
        return {
            site.name: (
                site,
                [
                    decode_record(Deployment, value)
                    for _, value in snapshot.scan(Database.DEPLOYMENTS, prefix=SITE_NO.pack(site.site_no))
                ],
            )
            for site in sites
        }


def assert_is_one_line(site: Site, deployments: list[Deployment]) -> None:
    orders = [each.order for each in deployments]
    assert [each.seq for each in deployments] == list(range(1, len(deployments) + 1))
    assert len(set(orders)) == len(orders) == len({each.short_id for each in deployments})
    assert [each.superseded for each in deployments] == [
        order < latest for order, latest in zip(orders, accumulate(orders, max), strict=True)
    ], "superseded is what began before something that was live already"
    last = max(deployments, key=lambda each: each.order)
    assert site.production is not None
    assert (site.production.seq, site.production.order) == (last.seq, last.order)


def test_two_hundred_deploys_at_once_to_twenty_sites_leave_each_history_linear(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "2") as server:
        names = [f"site-{number}" for number in range(SITES_COUNT)]
        for name in names:
            create_site(server, name)

        def deploy(number: int) -> Acknowledged:
            return plain_deploy(server, names[number % SITES_COUNT], content_of(number))

        with ThreadPoolExecutor(DEPLOYS_COUNT) as crowd:
            acknowledged = list(crowd.map(deploy, range(DEPLOYS_COUNT)))
        for number, each in enumerate(acknowledged):
            assert server.get(each.host).body == content_of(number)["index.html"]
        assert_check_is_clean(server)
        for name, (site, deployments) in histories(server.data).items():
            assert len(deployments) == DEPLOYS_COUNT // SITES_COUNT
            assert_is_one_line(site, deployments)
            assert_shows(server, name, max(deployments, key=lambda each: each.order), acknowledged)


def assert_shows(server: LiveServer, name: str, live: Deployment, acknowledged: list[Acknowledged]) -> None:
    """`live` is what the production host shows."""
    number = next(n for n, each in enumerate(acknowledged) if each.id.replace("-", "") == live.id)
    assert server.get(f"{name}.pages.localhost").body == content_of(number)["index.html"]
