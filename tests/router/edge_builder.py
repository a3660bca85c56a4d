"""A whole edge over a folder of its own, and sites written straight into its store: no server, no control plane."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from asset_server.blobs import BlobStore, Upload, asset_key, extension_of
from asset_server.content_type import content_type_of
from asset_server.header_rules import HeaderRules
from asset_server.manifest import Asset, encode_manifest, manifest_id
from asset_server.message import Response
from asset_server.redirects import RedirectRules
from asset_server.server import AssetServer
from router.edge import Edge, EdgeRequest
from router.hashed import delete_route, put_route
from router.hashing import HashKey, KeyRing
from router.hostname import Hostname
from router.kv.schema import Database
from router.kv.store import Store, open_store
from router.metrics.meter import EdgeMeter
from router.metrics.reading import Reading
from router.metrics.slot import Cells, unshared_cells
from router.pipeline import Pipeline
from router.resolve import Resolver
from router.site_names import SiteNames


class ManualClock:
    """Seconds that pass when a test says so; far enough at each look for the feed to be read."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


@dataclass
class BuiltEdge:
    folder: Path
    store: Store
    blobs: BlobStore
    keys: KeyRing
    edge: Edge
    cells: Cells

    def publish(
        self,
        host: str,
        files: Mapping[str, bytes],
        *,
        is_preview: bool = False,
        function_routes: bytes | None = None,
        site_no: int = 1,
        redirects: str = "",
        headers: str = "",
        kept: Mapping[str, Asset] | None = None,
    ) -> Pipeline:
        encoded = encode_manifest(
            self.assets(files, site_no=site_no),
            redirects=RedirectRules.parse(redirects)[0].encode() if redirects else b"",
            headers=HeaderRules.parse(headers)[0].encode() if headers else b"",
            function_routes=function_routes or b"",
        )
        kept_encoded = encode_manifest(kept) if kept is not None else None
        pipeline = Pipeline(
            site_no,
            manifest_id(encoded),
            function="F" * 22 if function_routes is not None else None,
            kept=manifest_id(kept_encoded) if kept_encoded is not None else None,
            is_preview=is_preview,
        )
        with self.store.write() as transaction:
            transaction.put(Database.MANIFESTS, pipeline.manifest.encode(), encoded)
            if kept_encoded is not None and pipeline.kept is not None:
                transaction.put(Database.MANIFESTS, pipeline.kept.encode(), kept_encoded)
            put_route(transaction, self.keys, Hostname.parse(host.encode()), pipeline)
        return pipeline

    def assets(self, files: Mapping[str, bytes], *, site_no: int = 1) -> dict[str, Asset]:
        keys = {path: asset_key(content, extension_of(path)) for path, content in files.items()}
        uploads = [Upload(keys[path], content, content_type_of(path)) for path, content in files.items()]
        self.blobs.put_many(uploads, scope=str(site_no))
        claim = self.blobs.claim(keys.items(), scope=str(site_no))
        assert not claim.refusals
        return claim.assets

    def another_process(self) -> "BuiltEdge":
        """An edge over the same folder that has proven and cached nothing yet."""
        cells = unshared_cells()
        return replace(self, edge=make_edge(self.store, self.blobs, self.keys, cells), cells=cells)

    def counted(self) -> Reading:
        return Reading(tuple(self.cells))

    def unpublish(self, host: str) -> None:
        with self.store.write() as transaction:
            delete_route(transaction, self.keys, Hostname.parse(host.encode()))

    def request(
        self, host: str, target: str = "/", *, method: str = "GET", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> EdgeRequest:
        return EdgeRequest(
            method=method,
            target=target.encode(),
            host=host.encode(),
            scheme="http",
            headers=headers,
            client="127.0.0.1",
            received_ns=self.edge.now_ns(),
        )

    def get(self, host: str, target: str = "/", *, method: str = "GET", **headers: str) -> Response:
        lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        answer = self.edge.handle(self.request(host, target, method=method, headers=lines))
        assert isinstance(answer, Response), "a function's route: ask `edge.handle` itself"
        return answer


@contextmanager
def built_edge(folder: Path) -> Iterator[BuiltEdge]:
    keys = KeyRing(HashKey("test", bytes(range(32))))
    (folder / "kv").mkdir(parents=True)
    with open_store(folder / "kv", create=True) as store:
        blobs = BlobStore(folder)
        cells = unshared_cells()
        yield BuiltEdge(folder, store, blobs, keys, make_edge(store, blobs, keys, cells), cells)


def make_edge(store: Store, blobs: BlobStore, keys: KeyRing, cells: Cells) -> Edge:
    meter = EdgeMeter(cells)
    resolver = Resolver(
        store,
        read_keys=lambda: keys,
        names=SiteNames("pages.test"),
        dc="local",
        now_s=ManualClock(),
        meter=meter,
    )
    assets = AssetServer(blobs, time.time)
    return Edge(store=store, resolver=resolver, assets=assets, meter=meter, now_ns=time.monotonic_ns)
