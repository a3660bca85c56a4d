"""A data folder opened by a command that works on it itself, beside a running `onehop serve` or without one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onehop.config import load_config
from onehop.data_folder import DataFolder
from onehop.errors import CommandFailed
from router.hashing import KeyRing
from router.key_files import PAGES_DOMAIN_KEY, prove_key_ring, read_key_ring
from router.kv.schema import Database
from router.kv.store import Store, open_store
from router.site_names import SiteNames


class StoreAbsent(CommandFailed):
    """No data folder there."""


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """What routes are made of: the store, the keys that belong to it, the domain that it was made for."""

    folder: DataFolder
    store: Store
    keys: KeyRing
    names: SiteNames


def find_folder(data: Path | None) -> DataFolder:
    """The one of --data, ONEHOP_DATA or the configuration file. Raises StoreAbsent."""
    folder = DataFolder(load_config({"data": data}, os.environ).data)
    if not folder.exists():
        raise StoreAbsent(
            f"there is no data folder at {folder.root}; name one with --data or ONEHOP_DATA, 'onehop serve' makes them"
        )
    return folder


@contextmanager
def opened(folder: DataFolder, *, only_reads: bool = False) -> Iterator[OpenedStore]:
    """Raises StoreError, KeysRefused."""
    with open_store(folder.kv, only_reads=only_reads) as store:
        keys = prove_key_ring(store, read_key_ring(folder.route_keys), folder.route_keys)
        with store.read() as snapshot:
            domain = snapshot.get(Database.META, PAGES_DOMAIN_KEY)
        if domain is None:
            raise StoreAbsent(f"the store in {folder.kv} was never served from; run 'onehop serve' on it once")
        yield OpenedStore(folder, store, keys, SiteNames(domain.decode()))
