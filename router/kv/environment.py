"""LMDB's environment, opened so that nothing about it can surprise: the map, the files' modes, the readers' places.

The map is a reservation of addresses, neither memory nor disk: one tebibyte, so that the disk is the only limit. Under
`ulimit -v` it is half of what that leaves. Growing it later is no use, since the limit would forbid that too, so a map
that is full or was outgrown by another process's is an error that names the limit.

Durable as LMDB is by itself: each commit is synced, data before meta page, and no page is ever written through the map.
No read-ahead: look-ups are random, and a page of 4 KiB is all that they want.
"""

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import lmdb

from router.kv.errors import SchemaUnknown, StoreDamaged, StoreFull, StoreMissing, StoreRefused
from router.kv.schema import SCHEMA_VERSION, Database
from router.kv.translation import DAMAGED_CURE, translated

MAP_BYTES: Final = 1 << 40
MAP_BYTES_MIN: Final = 1 << 30  # about five million deployments
READERS_MAX: Final = 2_048
SPARE_READS: Final = 16
FILE_MODE: Final = 0o600
META_PAGES_BYTES: Final = 2 * 4096
LOCK_BYTES: Final = 256 * 1024  # more than READERS_MAX places of 64 bytes and their head
WRITES_A_READER_CHECK: Final = 64
SCHEMA_KEY: Final = b"schema_version"
STORE_ID_KEY: Final = b"store_id"
STORE_ID_BYTES: Final = 16


class Environment:
    """One process's handle. A forked child must open its own: LMDB's places and locks belong to a process."""

    __slots__ = ("_env", "_pid", "_writes_count", "databases", "path")

    def __init__(self, path: Path, env: Any, databases: dict[Database, Any]) -> None:
        self.path = path
        self.databases = databases
        self._env = env
        self._pid = os.getpid()
        self._writes_count = 0

    def begin_reading(self) -> Any:
        """Raises StoreError."""
        assert os.getpid() == self._pid, "an open store doesn't survive a fork"
        try:
            return self._env.begin(buffers=True)
        except lmdb.Error as error:
            raise translated(error) from None

    def begin_writing(self) -> Any:
        """Waits for the writer before. Raises StoreError."""
        assert os.getpid() == self._pid, "an open store doesn't survive a fork"
        try:
            if self._writes_count % WRITES_A_READER_CHECK == 0:
                self._env.reader_check()  # a killed reader's place keeps pages from being used again
            self._writes_count += 1
            return self._env.begin(write=True, buffers=True)
        except lmdb.Error as error:
            raise translated(error) from None

    def last_txn_id(self) -> int:
        return int(self._env.info()["last_txnid"])

    def copy(self, folder: Path) -> None:
        """A consistent copy without free pages, into a folder that is there and empty. Raises StoreError."""
        try:
            self._env.copy(str(folder), compact=True)
        except lmdb.Error as error:
            raise translated(error) from None

    def close(self) -> None:
        self._env.close()


def open_environment(path: Path, *, create: bool, only_reads: bool = False) -> Environment:
    """`only_reads` never asks for the writer's lock, not even to open: so it reads while a writer is stopped in the
    middle. Raises StoreMissing, SchemaUnknown, StoreRefused, StoreDamaged, StoreFull."""
    is_new = not (path / "data.mdb").exists()
    if is_new and not create:
        raise StoreMissing(f"there is no store in {path}; 'onehop serve' makes one, or name another with --data")
    if is_new:
        reserve_lock_file(path)
    elif (path / "data.mdb").stat().st_size < META_PAGES_BYTES:
        # LMDB would take it for a new one and serve nothing, without a word.
        raise StoreDamaged(f"{path / 'data.mdb'} is cut to nothing; {DAMAGED_CURE}")
    env = map_environment(path, create=create, only_reads=only_reads)
    try:
        env.reader_check()
        mend_end_of_file(path, env)
        databases = open_databases(env, create=create)
        probe(env, databases)
    except lmdb.Error as error:
        env.close()
        raise translated(error) from None
    except BaseException:
        env.close()
        raise
    return Environment(path, env, databases)


def map_environment(path: Path, *, create: bool, only_reads: bool) -> Any:
    map_bytes = largest_map_bytes()
    while True:
        try:
            return lmdb.open(
                str(path),
                map_size=map_bytes,
                max_dbs=len(Database),
                max_readers=READERS_MAX,
                max_spare_txns=SPARE_READS,
                mode=FILE_MODE,
                create=create,
                readonly=only_reads,
                readahead=False,
            )
        except lmdb.MemoryError:
            map_bytes //= 2
            if map_bytes < MAP_BYTES_MIN:
                raise StoreRefused(
                    f"this process may map less than {MAP_BYTES_MIN >> 30} GiB; raise the limit: ulimit -v unlimited"
                ) from None
        except lmdb.Error as error:
            raise translated(error) from None


def largest_map_bytes() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or limit // 2 >= MAP_BYTES:
        return MAP_BYTES
    return max(MAP_BYTES_MIN, 1 << (limit // 2).bit_length() - 1)


def reserve_lock_file(path: Path) -> None:
    """Gives a new store's lock file its blocks. LMDB writes it through a map, where a full disk is a fatal signal."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path / "lock.mdb", os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE)
    except FileExistsError:
        return  # another process may hold locks on it, which closing a descriptor of ours would not touch; leave it
    try:
        os.posix_fallocate(descriptor, 0, LOCK_BYTES)
    except OSError as error:
        (path / "lock.mdb").unlink()
        raise StoreFull(f"there's no room for a store in {path} ({error.strerror}); free some space") from None
    finally:
        os.close(descriptor)


def mend_end_of_file(path: Path, env: Any) -> None:
    """Makes pages behind the end of the file read as zeros, where the map would answer with a fatal signal.

    Some are often missing in a sound store: LMDB doesn't write pages that one transaction took and gave back. Where
    the file was cut, LMDB finds pages of zeros, and says that they are damaged.
    """
    used_bytes = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    if (path / "data.mdb").stat().st_size >= used_bytes:
        return
    descriptor = os.open(path / "data.mdb", os.O_RDWR)
    try:
        with suppress(OSError):  # a full disk: then the pages that matter are there, or reading them is fatal
            os.posix_fallocate(descriptor, used_bytes - 1, 1)  # never shrinks, whatever a writer does meanwhile
    finally:
        os.close(descriptor)


def open_databases(env: Any, *, create: bool) -> dict[Database, Any]:
    """Raises SchemaUnknown, and LMDB's errors. A new store gets its databases and its version at once or not at all."""
    if create and env.stat()["entries"] == 0:
        with env.begin(write=True) as txn:
            handles = {each: env.open_db(each.encode(), txn=txn) for each in Database}
            # Two processes may both have found it empty; the first to come here makes it.
            meta = handles[Database.META]
            txn.put(SCHEMA_KEY, str(SCHEMA_VERSION).encode(), db=meta, overwrite=False)
            txn.put(STORE_ID_KEY, os.urandom(STORE_ID_BYTES).hex().encode(), db=meta, overwrite=False)
    try:
        # Not within a read transaction of ours: a handle opened there ends with it.
        databases = {each: env.open_db(each.encode(), create=False) for each in Database}
    except lmdb.NotFoundError:
        raise SchemaUnknown(
            "the store lacks a database that this release needs; use the release that made it, or restore a backup"
        ) from None
    with env.begin() as txn:
        version = txn.get(SCHEMA_KEY, db=databases[Database.META])
    if version != str(SCHEMA_VERSION).encode():
        found = version.decode("ascii", "replace") if version is not None else "none"
        raise SchemaUnknown(
            f"the store has schema {found}, this release reads {SCHEMA_VERSION}; use the release that wrote it"
        )
    return databases


def probe(env: Any, databases: dict[Database, Any]) -> None:
    """Reads both ends of every database: what was cut or zeroed is found now rather than by a visitor."""
    with env.begin(buffers=True) as txn:
        for database in databases.values():
            with txn.cursor(database) as cursor:
                if (cursor.first() and cursor.last()) != (txn.stat(database)["entries"] > 0):
                    raise StoreDamaged(f"a database of the store has lost its rows; {DAMAGED_CURE}")
