"""The composition root of an edge worker: opens what a data folder holds and puts the parts together."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from asset_server.blobs import BlobStore
from asset_server.server import AssetServer
from control_plane.clock import Clock
from onehop.config import Config
from onehop.data_folder import DataFolder
from onehop.workerd_choice import chosen_workerd
from router.app import EdgeApp, Functions
from router.differences import DifferenceLog
from router.edge import Edge
from router.forwarded import TrustedProxies
from router.key_files import read_key_ring
from router.kv.store import Store, open_store
from router.metrics.meter import EdgeMeter
from router.metrics.slot import Cells
from router.ready import ReadyAnswers
from router.ready_door import ReadyDoor
from router.resolve import Resolver
from router.site_names import SiteNames


@dataclass(frozen=True, slots=True)
class OpenedEdge:
    """`door` answers what it can by itself, `app` everything."""

    app: EdgeApp
    door: ReadyDoor


@contextmanager
def opened_edge(config: Config, folder: DataFolder, cells: Cells) -> Iterator[OpenedEdge]:
    """What an edge worker serves. It counts in `cells`."""
    meter = EdgeMeter(cells)
    with open_store(folder.kv) as store:
        resolver = Resolver(
            store,
            read_keys=lambda: read_key_ring(folder.route_keys),
            names=SiteNames(config.pages_domain),
            dc=config.dc,
            now_s=time.monotonic,
            meter=meter,
            on_difference=DifferenceLog(folder.differences, now=Clock().now).add,
        )
        assets = AssetServer(BlobStore(folder.root), time.time)
        edge = Edge(store=store, resolver=resolver, assets=assets, meter=meter, now_ns=time.monotonic_ns)
        proxies = TrustedProxies(config.trusted_proxies)
        door = ReadyDoor(edge, resolver, ReadyAnswers(), meter, proxies=proxies, now_ns=time.monotonic_ns)
        with functions_of(config, folder, store, edge, cells) as functions:
            yield OpenedEdge(EdgeApp(edge, proxies=proxies, functions=functions), door)


def functions_of(
    config: Config, folder: DataFolder, store: Store, edge: Edge, cells: Cells
) -> AbstractContextManager[Functions | None]:
    if chosen_workerd(config) is None:
        return nullcontext()
    # Imported here: a start without workerd needn't wait for it.
    from onehop.function_parts import opened_functions

    return opened_functions(config, folder, store, edge, cells)
