"""What happens to the store when processes die, disks fill and files are cut. Hardening 59 to 62 and 82.

Whatever could end in a signal (a killed writer, a read past the end of a file) runs in a process of its own.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from router.kv.errors import StoreDamaged, StoreError, StoreFull
from router.kv.schema import Database
from router.kv.store import Store, open_store
from tests.real_parts import small_disk

MIB = 1 << 20
VALUE = b"v" * 200_000

PREAMBLE = """
import sys
from pathlib import Path
from router.kv.errors import StoreError
from router.kv.schema import Database
from router.kv.store import open_store
path = Path(sys.argv[1])

def tell(text):
    print(text, flush=True)
"""
HOLD_A_TRANSACTION = """
with open_store(path) as store, store.write() as transaction:
    for number in range(2000):
        transaction.put(Database.MANIFESTS, b"%08d" % number, b"half done" * 100)
    transaction.put(Database.ROUTES, b"r" * 16, b"half done")
    tell("ready")
    sys.stdin.read()
"""
HOLD_A_SNAPSHOT = """
with open_store(path) as store, store.read() as snapshot:
    snapshot.count(Database.ROUTES)
    tell("ready")
    sys.stdin.read()
"""
READ_EVERYTHING = """
sound = damaged = 0
try:
    with open_store(path) as store:
        for number in range(2000):
            try:
                with store.read() as snapshot:
                    value = snapshot.get(Database.MANIFESTS, b"%08d" % number)
                sound += value == b"%08d" % number * 50
            except StoreError as error:
                assert "onehop restore" in str(error), error
                damaged += 1
        tell(f"opened {sound} {damaged}")
except StoreError as error:
    tell(f"{type(error).__name__}: {error}")
"""
MAKE_A_STORE = """
tell("ready")
sys.stdin.readline()
with open_store(path, create=True) as store:
    tell(store.store_id())
"""
OPEN_WITH_LITTLE_ADDRESS_SPACE = """
import resource
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    with open_store(path) as store:
        with store.write() as transaction:
            transaction.put(Database.ROUTES, b"r" * 16, b"value")
        with store.read() as snapshot:
            tell(snapshot.get(Database.ROUTES, b"r" * 16).decode())
except StoreError as error:
    tell(f"{type(error).__name__}: {error}")
"""


def run(code: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PREAMBLE + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def started(code: str, path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that has said its first word; killed, if it still lives, and waited for."""
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def put(store: Store, key: bytes, value: bytes = VALUE) -> None:
    with store.write() as transaction:
        transaction.put(Database.MANIFESTS, key, value)


def size_of(path: Path) -> int:
    return (path / "data.mdb").stat().st_size


# -- 62: processes that die ------------------------------------------------------------------------------------------


def test_62_a_writer_killed_in_its_transaction_leaves_nothing_and_the_store_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "kv"
    with open_store(path, create=True) as store:
        put(store, b"before")
        for _ in range(3):
            with started(HOLD_A_TRANSACTION, path) as process:
                process.send_signal(signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL
            put(store, b"after")
            with store.read() as snapshot:
                assert [key for key, _ in snapshot.scan(Database.MANIFESTS)] == [b"after", b"before"]
                assert snapshot.count(Database.ROUTES) == 0


def test_62_a_killed_reader_s_pages_are_used_again(tmp_path: Path) -> None:
    path = tmp_path / "kv"
    with open_store(path, create=True) as store:
        put(store, b"a")
        with started(HOLD_A_SNAPSHOT, path) as process:
            process.send_signal(signal.SIGKILL)
            process.wait()
        for _ in range(70):
            put(store, b"a")
        settled = size_of(path)
        for _ in range(70):
            put(store, b"a")
        assert size_of(path) <= settled + MIB


def test_62_two_processes_that_make_the_same_store_make_one(tmp_path: Path) -> None:
    path = tmp_path / "kv"
    with started(MAKE_A_STORE, path) as first, started(MAKE_A_STORE, path) as second:
        assert first.stdin is not None
        assert second.stdin is not None
        for process in (first, second):
            process.stdin.write("go\n")
            process.stdin.flush()
        store_ids = {process.communicate()[0] for process in (first, second)}
    assert len(store_ids) == 1
    assert len(store_ids.pop().strip()) == 32


# -- 61: readers that stay -------------------------------------------------------------------------------------------


def test_61_a_long_reader_costs_room_only_while_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "kv"
    with open_store(path, create=True) as store:
        put(store, b"a", b"old")
        with store.read() as snapshot:
            for _ in range(20):
                put(store, b"a")
            assert snapshot.get(Database.MANIFESTS, b"a") == b"old"
        grown = size_of(path)
        for _ in range(40):
            put(store, b"a")
        assert size_of(path) <= grown + MIB


def test_61_a_small_address_space_gets_a_smaller_map(tmp_path: Path) -> None:
    with open_store(tmp_path / "kv", create=True):
        pass
    assert run(OPEN_WITH_LITTLE_ADDRESS_SPACE, tmp_path / "kv", 6 << 30).stdout == "value\n"


def test_61_an_address_space_that_is_too_small_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with open_store(tmp_path / "kv", create=True):
        pass
    refusal = run(OPEN_WITH_LITTLE_ADDRESS_SPACE, tmp_path / "kv", 1 << 30).stdout
    assert refusal.startswith("StoreRefused")
    assert "ulimit -v" in refusal


# -- 60: full disks --------------------------------------------------------------------------------------------------


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb") as filler:
        status = os.statvfs(disk)
        os.posix_fallocate(filler.fileno(), 0, status.f_bavail * status.f_frsize)


def test_60_on_a_full_disk_writes_are_refused_and_reads_go_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=16 * MIB) as disk, open_store(disk / "kv", create=True) as store:
        put(store, b"a", b"1")
        fill(disk)
        for _ in range(3):
            with pytest.raises(StoreFull, match="free some space"):
                put(store, b"b", b"v" * 4 * MIB)
            with store.read() as snapshot:
                assert list(snapshot.scan(Database.MANIFESTS)) == [(b"a", b"1")]
        (disk / "filler").unlink()
        put(store, b"b", b"2")
        with store.read() as snapshot:
            assert list(snapshot.scan(Database.MANIFESTS)) == [(b"a", b"1"), (b"b", b"2")]


def test_60_a_store_that_fills_the_disk_by_itself_keeps_every_commit(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=8 * MIB) as disk:
        kept = 0
        with open_store(disk / "kv", create=True) as store:
            while True:
                try:
                    put(store, b"%04d" % kept)
                except StoreFull:
                    break
                kept += 1
        with open_store(disk / "kv") as store, store.read() as snapshot:
            assert list(snapshot.scan(Database.MANIFESTS)) == [(b"%04d" % each, VALUE) for each in range(kept)]
        assert kept > 10


def test_60_a_store_is_not_made_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=MIB) as disk:
        (disk / "kv").mkdir()
        fill(disk)
        made = run("try:\n    open_store(path, create=True).__enter__()\nexcept StoreError as e: tell(e)", disk / "kv")
        assert made.returncode == 0, made
        assert "free some" in made.stdout
        (disk / "filler").unlink()
        with open_store(disk / "kv", create=True) as store:
            assert store.store_id()


# -- 59, 82: files that aren't what was written ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound")
    with open_store(path, create=True) as store, store.write() as transaction:
        transaction.put_many(Database.MANIFESTS, ((b"%08d" % each, b"%08d" % each * 50) for each in range(2000)))
    return (path / "data.mdb").read_bytes()


@pytest.mark.parametrize("kept_percent", [99, 90, 60, 30, 10, 2, 1])
def test_59_a_cut_file_is_damage_that_is_named_and_never_a_signal(
    tmp_path: Path, sound_file: bytes, kept_percent: int
) -> None:
    (tmp_path / "data.mdb").write_bytes(sound_file[: len(sound_file) * kept_percent // 100])
    read = run(READ_EVERYTHING, tmp_path)
    assert read.returncode == 0, read.stderr
    word, *rest = read.stdout.split()
    if word == "opened":
        sound, damaged = map(int, rest)
        assert damaged > 0
        assert sound + damaged == 2000
    else:
        assert word == "StoreDamaged:"
        assert "onehop check" in read.stdout
        assert "onehop restore" in read.stdout


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"\0" * 65_536, b"not a store" * 10_000])
def test_82_a_file_that_is_no_store_is_damage_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    for create in (False, True):
        with pytest.raises(StoreDamaged, match=r"onehop check.*onehop restore"), open_store(tmp_path, create=create):
            pass
    assert (tmp_path / "data.mdb").read_bytes() == content


def test_82_a_sound_store_with_a_torn_last_commit_goes_on_from_the_one_before(tmp_path: Path) -> None:
    with open_store(tmp_path, create=True) as store:
        put(store, b"a", b"1")
        put(store, b"b", b"2")
    pages = bytearray((tmp_path / "data.mdb").read_bytes())
    newest = max((0, 1), key=lambda page: int.from_bytes(pages[page * 4096 + 144 : page * 4096 + 152], "little"))
    pages[newest * 4096 + 144 : newest * 4096 + 152] = bytes(8)
    (tmp_path / "data.mdb").write_bytes(pages)
    with open_store(tmp_path) as store:
        with store.read() as snapshot:
            assert list(snapshot.scan(Database.MANIFESTS)) == [(b"a", b"1")]
        put(store, b"c", b"3")


def test_a_store_error_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused, open_store(tmp_path / "absent"):
        pass
    assert "\n" not in str(refused.value)
    assert "onehop serve" in str(refused.value)
