"""The rotation of the hash key: every host served at each moment, wherever it is cut short. Hardening 66."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from router import rotation
from router.hashed import delete_route, put_route, read_route
from router.hashing import HashKey, KeyRing
from router.host_walk import BEGINNING, WALKED, HostWalk, Place
from router.hostname import Hostname
from router.key_files import KeysRefused, live_key_ids, open_key_ring, read_key_ring, write_key_ring
from router.kv.schema import SITE_NO, Database, alias_key, deployment_key
from router.kv.store import Store, open_store
from router.metrics.meter import EdgeMeter
from router.metrics.slot import unshared_cells
from router.pipeline import Pipeline
from router.records import Alias, Deployment, Pointer, Site, encode_record
from router.resolve import Resolved, Resolver
from router.rotation import Progress, RotationBlocked, begin_rotation, finish_rotation, rehash, rotate_keys
from router.site_names import SiteNames

NAMES = SiteNames("pages.test")
NEW = HashKey("ae3", b"n" * 32)
SITES, DEPLOYMENTS = 3, 4


@dataclass
class Data:
    """A store of a few sites, each with deployments, an alias and a custom domain, and its key file."""

    store: Store
    path: Path

    def keys(self) -> KeyRing:
        return read_key_ring(self.path)

    def fill(self) -> None:
        keys = open_key_ring(self.store, self.path)
        with self.store.write() as transaction:
            for site_no in range(1, SITES + 1):
                site = Site(
                    site_no, "0" * 32, f"site{site_no}", "main", "", Pointer(1, 1), domains=(f"www.site{site_no}.test",)
                )
                transaction.put(Database.SITES, SITE_NO.pack(site_no), encode_record(site))
                for seq in range(1, DEPLOYMENTS + 1):
                    deployment = Deployment(site_no, seq, f"{seq:08x}" + "0" * 24, "", "m" * 22)
                    transaction.put(Database.DEPLOYMENTS, deployment_key(site_no, seq), encode_record(deployment))
                alias = Alias(site_no, "fix-menu", "fix menu", Pointer(1, 1))
                transaction.put(Database.ALIASES, alias_key(site_no, "fix-menu"), encode_record(alias))
            for number, hostname in enumerate(hostnames(), 1):
                put_route(transaction, keys, hostname, pipeline_of(number))

    def served(self) -> dict[str, Pipeline | None]:
        with self.store.read() as snapshot:
            return {hostname.name: read_route(snapshot, self.keys(), hostname) for hostname in hostnames()}

    def routes_count(self) -> int:
        with self.store.read() as snapshot:
            return snapshot.count(Database.ROUTES)

    def rotate(self, new_key: HashKey = NEW) -> rotation.Rotated:
        return rotate_keys(self.store, self.path, NAMES, new_key=new_key)


def hostnames() -> list[Hostname]:
    found = []
    for site_no in range(1, SITES + 1):
        site = f"site{site_no}"
        found += [NAMES.production(site), Hostname(f"www.{site}.test"), NAMES.alias(site, "fix-menu")]
        found += [NAMES.deployment(site, f"{seq:08x}") for seq in range(1, DEPLOYMENTS + 1)]
    return found


def pipeline_of(number: int) -> Pipeline:
    return Pipeline(1, f"{number:022d}")


SERVED = {hostname.name: pipeline_of(number) for number, hostname in enumerate(hostnames(), 1)}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH_ROWS", 2)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    with open_store(tmp_path / "kv", create=True) as store:
        filled = Data(store, tmp_path / "route-keys.json")
        filled.fill()
        yield filled


def test_66_a_rotation_moves_every_route_and_drops_the_old_key(data: Data) -> None:
    old = data.keys().current
    rotated = data.rotate()
    assert (rotated.key_id, rotated.moved_count, rotated.is_resumed) == ("ae3", len(SERVED), False)
    assert data.keys() == KeyRing(NEW)
    assert data.served() == SERVED
    assert data.routes_count() == len(SERVED)
    with data.store.read() as snapshot:
        assert live_key_ids(snapshot) == ("ae3",)
        assert not any(snapshot.get(Database.ROUTES, old.route_key(hostname)) for hostname in hostnames())


def test_66_at_each_step_every_host_is_served_by_a_process_that_was_there_before(data: Data) -> None:
    resolver = Resolver(
        data.store,
        read_keys=data.keys,
        names=NAMES,
        dc="local",
        now_s=iter(range(100_000)).__next__,
        meter=EdgeMeter(unshared_cells()),
    )
    steps_count = 0

    def look(_: Progress) -> None:
        nonlocal steps_count
        steps_count += 1
        for name, pipeline in SERVED.items():
            resolved = resolver.resolve(name.encode())
            assert isinstance(resolved, Resolved)
            assert resolved.pipeline == pipeline

    rotate_keys(data.store, data.path, NAMES, new_key=NEW, on_progress=look)
    look(Progress(0, 0, 0))
    assert steps_count > 8


def test_66_deploys_and_deletes_between_its_steps_are_kept(data: Data) -> None:
    wanted = dict(SERVED)
    todo = hostnames()

    def deploy_and_delete(_: Progress) -> None:
        if len(todo) >= 2:
            deployed, deleted = todo.pop(), todo.pop(0)
            with data.store.write() as transaction:
                put_route(transaction, data.keys(), deployed, pipeline_of(99))
                assert delete_route(transaction, data.keys(), deleted)
            wanted[deployed.name] = pipeline_of(99)
            del wanted[deleted.name]

    rotate_keys(data.store, data.path, NAMES, new_key=NEW, on_progress=deploy_and_delete)
    assert {name: pipeline for name, pipeline in data.served().items() if pipeline is not None} == wanted
    assert data.routes_count() == len(wanted)


def test_66_a_rotation_that_was_cut_short_goes_on_where_it_was(data: Data) -> None:
    begin_rotation(data.store, data.path, NEW)
    moved = next(rehash(data.store, data.keys(), NAMES)).moved_count
    assert data.served() == SERVED
    rotated = data.rotate(HashKey("other", b"x" * 32))
    assert rotated.is_resumed
    assert rotated.key_id == "ae3"
    assert rotated.moved_count == len(SERVED) - moved
    assert data.served() == SERVED
    assert data.keys() == KeyRing(NEW)


def test_66_a_crash_before_the_first_commit_leaves_a_key_that_the_next_start_drops(data: Data) -> None:
    old = data.keys()
    write_key_ring(data.path, KeyRing(old.current, NEW))
    assert data.served() == SERVED
    assert open_key_ring(data.store, data.path) == old
    assert data.keys() == old
    data.rotate(HashKey("b0b", b"b" * 32))
    assert data.served() == SERVED


def test_66_a_crash_after_the_last_commit_leaves_a_key_that_the_next_start_drops(data: Data) -> None:
    old = data.keys().current
    data.rotate()
    write_key_ring(data.path, KeyRing(old, NEW))
    assert data.served() == SERVED
    assert open_key_ring(data.store, data.path) == KeyRing(NEW)
    assert data.keys() == KeyRing(NEW)


def test_rotations_can_follow_each_other(data: Data) -> None:
    for number in range(3):
        data.rotate(HashKey(f"k{number}", bytes([number]) * 32))
    assert data.served() == SERVED
    assert data.routes_count() == len(SERVED)


def test_two_rotations_at_once_are_one(data: Data) -> None:
    begin_rotation(data.store, data.path, NEW)
    first, second = rehash(data.store, data.keys(), NAMES), rehash(data.store, data.keys(), NAMES)
    for steps in (first, second, first, second):
        next(steps)
    assert list(first)
    finish_rotation(data.store, data.path, NAMES)
    assert list(second) == []
    finish_rotation(data.store, data.path, NAMES)
    assert data.served() == SERVED


def test_the_end_is_refused_while_routes_lie_under_the_old_key(data: Data) -> None:
    begin_rotation(data.store, data.path, NEW)
    with pytest.raises(RotationBlocked, match=f"{len(SERVED)} routes still lie"):
        finish_rotation(data.store, data.path, NAMES)
    assert data.served() == SERVED
    data.rotate()
    assert data.served() == SERVED


def test_the_end_is_refused_while_routes_belong_to_no_record(data: Data) -> None:
    stray = Hostname("stray.pages.test")
    with data.store.write() as transaction:
        put_route(transaction, data.keys(), stray, pipeline_of(50))
    with pytest.raises(RotationBlocked, match=r"1 routes belong to no record.*onehop check"):
        data.rotate()
    with data.store.read() as snapshot:
        assert read_route(snapshot, data.keys(), stray) == pipeline_of(50)
    assert data.served() == SERVED
    rotate_keys(data.store, data.path, NAMES, new_key=NEW, orphans_max=1)
    assert data.keys() == KeyRing(NEW)


def test_an_unreadable_record_blocks_the_end_rather_than_lose_its_host(data: Data) -> None:
    with data.store.write() as transaction:
        transaction.put(Database.DEPLOYMENTS, deployment_key(2, 2), b"damaged")
    with pytest.raises(RotationBlocked, match="1 routes"):
        data.rotate()
    assert data.served() == SERVED


def test_66_a_wrong_ring_cannot_rotate(data: Data) -> None:
    write_key_ring(data.path, KeyRing(HashKey("b0b", b"b" * 32)))
    with pytest.raises(KeysRefused):
        data.rotate()


def test_progress_grows_to_the_count_of_records(data: Data) -> None:
    seen: list[Progress] = []
    rotate_keys(data.store, data.path, NAMES, new_key=NEW, on_progress=seen.append)
    assert [each.rows_count for each in seen] == sorted({each.rows_count for each in seen})
    assert {each.rows_total for each in seen} == {SITES * (1 + DEPLOYMENTS + 1)}
    assert seen[-1] == Progress(seen[-1].rows_total, seen[-1].rows_total, len(SERVED))


# -- the walk --------------------------------------------------------------------------------------------------------


def test_the_walk_finds_every_host_once(data: Data) -> None:
    with data.store.read() as snapshot:
        walked = [hostname.name for hostname in HostWalk(snapshot, NAMES).everything()]
    assert sorted(walked) == sorted(SERVED)


def test_a_place_is_read_back_and_anything_else_is_the_beginning() -> None:
    for database in WALKED:
        for after in (b"", b":", b"\x00\x01:\xff"):
            assert Place.parse(Place(database, after).encode()) == Place(database, after)
    for value in (b"", b"routes:a", b"\xff"):
        assert Place.parse(value) == BEGINNING


# -- killed at every step --------------------------------------------------------------------------------------------

ROTATE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from router import rotation
from router.hashing import HashKey
from router.kv.store import open_store
from router.site_names import SiteNames
rotation.BATCH_ROWS = 2
folder, steps_left = Path(sys.argv[1]), int(sys.argv[2])

def die(_):
    global steps_left
    steps_left -= 1
    if steps_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

with open_store(folder / "kv") as store:
    key = HashKey(f"k{steps_left}", bytes([steps_left]) * 32)
    rotation.rotate_keys(store, folder / "route-keys.json", SiteNames("pages.test"), new_key=key, on_progress=die)
"""


def test_66_a_rotation_killed_after_any_step_is_ended_by_the_next(tmp_path: Path) -> None:
    with open_store(tmp_path / "kv", create=True) as store:
        data = Data(store, tmp_path / "route-keys.json")
        data.fill()
        killed_count = 0
        for steps in range(1, 12, 2):
            command = [sys.executable, "-c", ROTATE_AND_DIE, str(tmp_path), str(steps)]
            ended = subprocess.run(command, check=False, capture_output=True, text=True)
            assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
            killed_count += ended.returncode == -signal.SIGKILL
            assert data.served() == SERVED
            open_key_ring(store, data.path)
            data.rotate(HashKey(f"n{steps}", bytes([100 + steps]) * 32))
            assert data.served() == SERVED
            assert data.routes_count() == len(SERVED)
        assert killed_count >= 4
