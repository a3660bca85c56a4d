"""The request handler: a request in, a response out, or the word that a function is to be asked. No socket, no wait.

Host → pipeline (resolve), pipeline → function or assets, assets → answer. What is damaged becomes that one request's
500, is counted, and is logged once for each damaged thing; other sites are served on.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from lru import LRU

from asset_server.blobs import BlobDamaged
from asset_server.manifest import Manifest, ManifestCorrupt, manifest_id
from asset_server.message import AssetRequest, Response
from asset_server.server import AssetServer
from asset_server.url import Target, TargetRefused, parse_target
from functions.routes_json import RoutesJson, RoutesJsonUnreadable
from router import error_pages
from router.event_log import event_log
from router.hostname import Hostname, HostRefused
from router.kv.errors import StoreError
from router.kv.schema import Database
from router.kv.store import Snapshot, Store
from router.pipeline import Pipeline
from router.resolve import Resolved, Resolver, RouteDamaged, Unknown

PROVEN_MANIFESTS_MAX: Final = 65_536
FUNCTION_ROUTES_MAX: Final = 1_024
FUNCTION_DECISIONS_MAX: Final = 16_384
REMEMBERED_PATH_CHARACTERS_MAX: Final = 256
"""Asking RE2 costs 1.1 µs, remembering what it said 0.1; static files of sites with functions pay for it each time."""
DAMAGE_LOGGED_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class EdgeRequest:
    """A request that the strict HTTP layer accepted.

    `target` is in origin form; `host` is the authority as received (an absolute-form target's, where it had one);
    header names are lower case.
    """

    method: str
    target: bytes
    host: bytes
    scheme: str
    headers: Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class FunctionFirst:
    """Not an answer: the deployment's function has the first word, and whoever holds the connection asks it."""

    pipeline: Pipeline
    target: Target


class PipelineDamaged(Exception):
    """Something that a pipeline needs is missing or isn't what its id says."""


class Edge:
    """Answers requests from one process's store, resolver and blobs."""

    def __init__(self, *, store: Store, resolver: Resolver, assets: AssetServer) -> None:
        self._store = store
        self._resolver = resolver
        self._assets = assets
        self._proven: LRU[str, bool] = LRU(PROVEN_MANIFESTS_MAX)
        self._function_routes: LRU[str, RoutesJson] = LRU(FUNCTION_ROUTES_MAX)
        self._function_decisions: LRU[tuple[str, str], bool] = LRU(FUNCTION_DECISIONS_MAX)
        self._damage_logged: LRU[str, bool] = LRU(DAMAGE_LOGGED_MAX)
        self.answers_by_status: Counter[int] = Counter()
        self.damage_count = 0

    def handle(self, request: EdgeRequest) -> Response | FunctionFirst:
        answer = self._answer(request)
        return answer if isinstance(answer, FunctionFirst) else self._finished(answer, request.method)

    def finish(self, response: Response, method: str) -> Response:
        """An answer in a function's place, counted as `handle` counts its own."""
        return self._finished(response, method)

    def answer_from_assets(self, pipeline: Pipeline, request: EdgeRequest) -> Response:
        """What a function gets of its own deployment's assets; any Host will do."""
        try:
            target = parse_target(request.target)
            with self._store.read() as snapshot:
                manifest = self._manifest(snapshot, pipeline.manifest)
                return self._from_assets(snapshot, pipeline, manifest, request, target, hostname_in(request.host))
        except TargetRefused:
            return error_pages.refused_target()
        except (PipelineDamaged, ManifestCorrupt, BlobDamaged, StoreError) as error:
            self._note_damage(request.host, error)
            return error_pages.damaged_deployment()

    def _finished(self, response: Response, method: str) -> Response:
        if method == "HEAD" and response.body:
            response = replace(response, body=b"")
        self.answers_by_status[response.status] += 1
        return response

    def _answer(self, request: EdgeRequest) -> Response | FunctionFirst:
        try:
            target = parse_target(request.target)
            route = self._resolver.resolve(request.host)
            if isinstance(route, Unknown):
                return error_pages.unknown_host(route.hostname.name)
            try:
                return self._serve(route, request, target)
            except (PipelineDamaged, ManifestCorrupt, BlobDamaged):
                # Between the cached decision and now, a deploy and a collection may have passed: look once afresh.
                self._resolver.forget(request.host)
                route = self._resolver.resolve(request.host)
                if isinstance(route, Unknown):
                    return error_pages.unknown_host(route.hostname.name)
                return self._serve(route, request, target)
        except HostRefused:
            return error_pages.refused_host()
        except TargetRefused:
            return error_pages.refused_target()
        except (RouteDamaged, PipelineDamaged, ManifestCorrupt, BlobDamaged, RoutesJsonUnreadable, StoreError) as error:
            self._note_damage(request.host, error)
            return error_pages.damaged_deployment()

    def _serve(self, route: Resolved, request: EdgeRequest, target: Target) -> Response | FunctionFirst:
        pipeline = route.pipeline
        with self._store.read() as snapshot:
            manifest = self._manifest(snapshot, pipeline.manifest)
            if pipeline.function is not None and self._runs_function(pipeline.manifest, manifest, target.path):
                return FunctionFirst(pipeline, target)
            return self._from_assets(snapshot, pipeline, manifest, request, target, route.hostname.name)

    def _from_assets(
        self,
        snapshot: Snapshot,
        pipeline: Pipeline,
        manifest: Manifest,
        request: EdgeRequest,
        target: Target,
        name: str,
    ) -> Response:
        kept = self._manifest(snapshot, pipeline.kept) if pipeline.kept is not None else None
        asset_request = AssetRequest(
            method=request.method,
            path=target.path,
            query=target.query,
            origin=f"{request.scheme}://{request.host.decode('ascii').lower()}",
            hostname=name,
            is_preview=pipeline.is_preview,
            headers=request.headers,
        )
        return self._assets.answer(asset_request, manifest, pipeline.manifest, kept)

    def _manifest(self, snapshot: Snapshot, content_id: str) -> Manifest:
        """The manifest in place, in the snapshot's pages; its bytes are proven against its id once a process."""
        buffer = snapshot.view(Database.MANIFESTS, content_id.encode("ascii"))
        if buffer is None:
            raise PipelineDamaged(f"manifest {content_id} is missing")
        if content_id not in self._proven:
            if manifest_id(buffer) != content_id:
                raise PipelineDamaged(f"manifest {content_id} isn't what its id says")
            self._proven[content_id] = True
        return Manifest(buffer)

    def _runs_function(self, content_id: str, manifest: Manifest, path: str) -> bool:
        decision: bool | None = self._function_decisions.get((content_id, path))
        if decision is None:
            routes = self._function_routes.get(content_id)
            if routes is None:
                routes = RoutesJson.decode(bytes(manifest.function_routes))
                self._function_routes[content_id] = routes
            decision = routes.matches(path)
            if len(path) <= REMEMBERED_PATH_CHARACTERS_MAX:
                self._function_decisions[content_id, path] = decision
        return decision

    def _note_damage(self, host: bytes, error: Exception) -> None:
        self.damage_count += 1
        what = str(error)
        if what not in self._damage_logged:
            self._damage_logged[what] = True
            event_log().error(
                "deployment.damaged",
                host=host.decode("ascii", "replace"),
                what=what,
                cure="run 'onehop check' to see what else is damaged and how to mend it",
            )


def hostname_in(authority: bytes) -> str:
    """The normal form of a Host that a function made up, as far as it has one."""
    try:
        return Hostname.parse(authority).name
    except HostRefused:
        return authority.decode("latin-1").lower()
