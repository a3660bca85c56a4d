"""No error of LMDB's passes the store's seam, and each becomes what it means to whoever runs Onehop."""

import errno
import os
from pathlib import Path

import lmdb
import pytest

from router.kv.errors import StoreDamaged, StoreError, StoreFull, StoreLocked, StoreRefused
from router.kv.schema import Database
from router.kv.store import open_store
from router.kv.translation import translated

MEANINGS: dict[type[lmdb.Error], type[StoreError]] = {
    lmdb.Error: StoreError,
    lmdb.KeyExistsError: StoreError,
    lmdb.NotFoundError: StoreError,
    lmdb.PageNotFoundError: StoreDamaged,
    lmdb.CorruptedError: StoreDamaged,
    lmdb.PanicError: StoreError,
    lmdb.VersionMismatchError: StoreDamaged,
    lmdb.InvalidError: StoreDamaged,
    lmdb.MapFullError: StoreFull,
    lmdb.DbsFullError: StoreError,
    lmdb.ReadersFullError: StoreLocked,
    lmdb.TlsFullError: StoreError,
    lmdb.TxnFullError: StoreError,
    lmdb.CursorFullError: StoreError,
    lmdb.PageFullError: StoreError,
    lmdb.MapResizedError: StoreFull,
    lmdb.IncompatibleError: StoreRefused,
    lmdb.BadRslotError: StoreError,
    lmdb.BadDbiError: StoreError,
    lmdb.BadTxnError: StoreError,
    lmdb.BadValsizeError: StoreError,
    lmdb.ProblemError: StoreDamaged,
    lmdb.BadChecksumError: StoreDamaged,
    lmdb.CryptoFailError: StoreRefused,
    lmdb.EnvEncryptionError: StoreRefused,
    lmdb.ReadonlyError: StoreRefused,
    lmdb.InvalidParameterError: StoreError,
    lmdb.LockError: StoreLocked,
    lmdb.MemoryError: StoreRefused,
    lmdb.DiskError: StoreFull,
}


def test_every_error_class_of_lmdb_has_a_meaning() -> None:
    assert set(MEANINGS) == {lmdb.Error, *lmdb.Error.__subclasses__()}


@pytest.mark.parametrize(("kind", "meaning"), MEANINGS.items(), ids=lambda kind: kind.__name__)
def test_an_error_becomes_what_it_means(kind: type[lmdb.Error], meaning: type[StoreError]) -> None:
    error = translated(kind("mdb_put: what LMDB said"))
    assert type(error) is meaning
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EROFS, StoreRefused),
        (errno.EACCES, StoreRefused),
        (errno.EIO, StoreError),
    ],
)
def test_60_what_the_binding_has_no_class_for_is_told_by_the_system_s_words(
    number: int, meaning: type[StoreError]
) -> None:
    assert type(translated(lmdb.Error(f"mdb_txn_commit: {os.strerror(number)}"))) is meaning


def test_damage_says_how_to_mend_it() -> None:
    message = str(translated(lmdb.CorruptedError("mdb_get: MDB_CORRUPTED")))
    assert "onehop check" in message
    assert "onehop restore" in message


def test_a_key_that_lmdb_cannot_hold_is_an_error_of_ours(tmp_path: Path) -> None:
    with open_store(tmp_path / "kv", create=True) as store, store.write() as transaction:
        with pytest.raises(StoreError):
            transaction.put(Database.MANIFESTS, b"k" * 512, b"value")
        with pytest.raises(StoreError):
            transaction.put_many(Database.MANIFESTS, [(b"", b"value")])
