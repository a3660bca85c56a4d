"""The composition root of an edge worker: opens what a data folder holds and puts the parts together."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from asset_server.blobs import BlobStore
from asset_server.server import AssetServer
from onehop.config import Config
from onehop.data_folder import DataFolder
from onehop.workerd_choice import chosen_workerd
from router.app import EdgeApp, Functions
from router.edge import Edge
from router.key_files import open_key_ring, read_key_ring, settle_pages_domain
from router.kv.store import open_store
from router.resolve import Resolver


def prepare(config: Config) -> DataFolder:
    """Makes the data folder if it is new, and proves that its keys and domain are the ones that we were given.

    Raises DataFolderRefused, StoreError, KeysRefused, SecretUnusable.
    """
    folder = DataFolder(config.data)
    folder.create()
    with open_store(folder.kv, create=True) as store:
        open_key_ring(store, folder.route_keys)
        settle_pages_domain(store, config.pages_domain)
    return folder


@contextmanager
def opened_edge(config: Config, folder: DataFolder) -> Iterator[EdgeApp]:
    """What an edge worker serves."""
    with open_store(folder.kv) as store:
        resolver = Resolver(
            store,
            read_keys=lambda: read_key_ring(folder.route_keys),
            now_s=time.monotonic,
        )
        assets = AssetServer(BlobStore(folder.root), time.time)
        edge = Edge(store=store, resolver=resolver, assets=assets)
        with functions_of(config, folder, edge) as functions:
            yield EdgeApp(edge, trusted_proxies=config.trusted_proxies, functions=functions)


def functions_of(config: Config, folder: DataFolder, edge: Edge) -> AbstractContextManager[Functions | None]:
    if chosen_workerd(config) is None:
        return nullcontext()
    # Imported here: a start without workerd needn't wait for it.
    from onehop.function_parts import opened_functions

    return opened_functions(config, folder, edge)
