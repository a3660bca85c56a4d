"""The request handler: a request in, a response out, or the word that a function is to be asked. No socket, no wait.

Host → pipeline (resolve), pipeline → function or assets, assets → answer. What is damaged becomes that one request's
500, is counted, and is logged once for each damaged thing; other sites are served on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lru import LRU

from asset_server.blobs import BlobDamaged, BlobsExhausted
from asset_server.manifest import Manifest, ManifestCorrupt, manifest_id
from asset_server.message import AssetRequest, Response
from asset_server.server import AssetServer
from asset_server.url import Target, TargetRefused, parse_target
from functions.routes_json import RoutesJson, RoutesJsonUnreadable
from router import error_pages
from router.arms import COOKIE
from router.event_log import event_log
from router.hostname import Hostname, HostRefused
from router.kv.errors import StoreError
from router.kv.schema import Database
from router.kv.store import Snapshot, Store
from router.metrics.catalogue import DAMAGED_ANSWERS
from router.metrics.meter import UNFOUND, EdgeMeter
from router.pipeline import Pipeline
from router.resolve import Asked, ByRequest, Resolved, Resolver, RouteDamaged, Unknown

PROVEN_MANIFESTS_MAX: Final = 65_536
TIMING_NAME: Final = b"onehop;"
CACHING_NAMES: Final = frozenset({b"expires", b"surrogate-control", b"x-accel-expires", b"edge-control"})
PRIVATE: Final = b"private, max-age=0, must-revalidate"
FUNCTION_ROUTES_MAX: Final = 1_024
FUNCTION_DECISIONS_MAX: Final = 16_384
REMEMBERED_PATH_CHARACTERS_MAX: Final = 256
"""Asking RE2 costs 1.1 µs, remembering what it said 0.1; static files of sites with functions pay for it each time."""
DAMAGE_LOGGED_MAX: Final = 4_096
EXHAUSTED_LOGGED_EVERY_NS: Final = 60 * 10**9


@dataclass(frozen=True, slots=True)
class EdgeRequest:
    """A request that the strict HTTP layer accepted.

    `target` is in origin form; `host` is the authority as received (an absolute-form target's, where it had one);
    header names are lower case. `client` is the address that the request came from, past trusted proxies.
    `received_ns` is when the head was whole, by the edge's clock.
    """

    method: str
    target: bytes
    host: bytes
    scheme: str
    headers: Sequence[tuple[bytes, bytes]]
    client: str
    received_ns: int


@dataclass(frozen=True, slots=True)
class FunctionFirst:
    """Not an answer: the deployment's function has the first word, and whoever holds the connection asks it.

    `target` is what the scheme took for the request's, parsed. `found` is (scheme, rule), by which the answer is
    counted; `fields` are those that any answer gets because of its way.
    """

    pipeline: Pipeline
    target: Target
    found: tuple[str, str]
    fields: tuple[tuple[bytes, bytes], ...] = ()


class PipelineDamaged(Exception):
    """Something that a pipeline needs is missing or isn't what its id says."""


class Edge:
    """Answers requests from one process's store, resolver and blobs."""

    def __init__(
        self,
        *,
        store: Store,
        resolver: Resolver,
        assets: AssetServer,
        meter: EdgeMeter,
        now_ns: Callable[[], int],
    ) -> None:
        self._store = store
        self._resolver = resolver
        self._assets = assets
        self._proven: LRU[str, bool] = LRU(PROVEN_MANIFESTS_MAX)
        self._function_routes: LRU[str, RoutesJson] = LRU(FUNCTION_ROUTES_MAX)
        self._function_decisions: LRU[tuple[str, str], bool] = LRU(FUNCTION_DECISIONS_MAX)
        self._damage_logged: LRU[str, bool] = LRU(DAMAGE_LOGGED_MAX)
        self._exhausted_logged_ns: int | None = None
        self._meter = meter
        self.now_ns = now_ns

    def handle(self, request: EdgeRequest) -> Response | FunctionFirst:
        found, answer = self._answer(request)
        return answer if isinstance(answer, FunctionFirst) else self._finished(found, answer, request)

    def finish(self, first: FunctionFirst, response: Response, request: EdgeRequest) -> Response:
        """An answer in a function's place, counted as `handle` counts its own."""
        return self._finished(first.found, with_fields(response, first.fields), request)

    def count(self, first: FunctionFirst, request: EdgeRequest, status: int) -> None:
        """A function's own answer, ready to be sent from now on."""
        self._meter.answered(first.found, status, self.now_ns() - request.received_ns)

    def answer_from_assets(self, pipeline: Pipeline, request: EdgeRequest) -> Response:
        """What a function gets of its own deployment's assets; any Host will do. It isn't counted: no client asked."""
        try:
            target = parse_target(request.target)
            with self._store.read() as snapshot:
                manifest = self._manifest(snapshot, pipeline.manifest)
                return self._from_assets(snapshot, pipeline, manifest, request, target, hostname_in(request.host))
        except TargetRefused:
            return error_pages.refused_target()
        except BlobsExhausted as error:
            return self._exhausted(error)
        except (PipelineDamaged, ManifestCorrupt, BlobDamaged, StoreError) as error:
            self._note_damage(request.host, error)
            return error_pages.damaged_deployment()

    def _finished(self, found: tuple[str, str], response: Response, request: EdgeRequest) -> Response:
        if request.method == "HEAD" and response.body:
            response = replace(response, body=b"")
        self._meter.answered(found, response.status, self.now_ns() - request.received_ns)
        return response

    def answer_plainly(self, route: Resolved, request: EdgeRequest) -> Response | None:
        """What `handle` would answer under a decision that leaves nothing open, uncounted; None where it has to look
        closer: at a target that may not be asked for, at damage, at a function."""
        try:
            answer = self._serve(route, request, parse_target(request.target))
        except (
            TargetRefused, BlobsExhausted, PipelineDamaged, ManifestCorrupt, BlobDamaged, RoutesJsonUnreadable,
            StoreError,
        ):  # fmt: skip
            return None
        return None if isinstance(answer, FunctionFirst) else answer

    def _answer(self, request: EdgeRequest) -> tuple[tuple[str, str], Response | FunctionFirst]:
        """By which scheme and rule the deployment was found, and the answer."""
        found = UNFOUND
        answer: Response | FunctionFirst
        try:
            target = parse_target(request.target)
            route, fields = self._route(request)
            found = found_by(route)
            try:
                answer = self._serve(route, request, target)
            except (PipelineDamaged, ManifestCorrupt, BlobDamaged):
                # Between the cached decision and now, a deploy and a collection may have passed: look once afresh.
                self._resolver.forget(request.host)
                route, fields = self._route(request)
                found = found_by(route)
                answer = self._serve(route, request, target)
            if isinstance(answer, FunctionFirst):
                answer = replace(answer, fields=fields)
            else:
                answer = with_fields(answer, fields)
        except HostRefused:
            answer = error_pages.refused_host()
        except TargetRefused:
            answer = error_pages.refused_target()
        except BlobsExhausted as error:
            answer = self._exhausted(error)
        except (RouteDamaged, PipelineDamaged, ManifestCorrupt, BlobDamaged, RoutesJsonUnreadable, StoreError) as error:
            self._note_damage(request.host, error)
            answer = error_pages.damaged_deployment()
        return found, answer

    def _route(self, request: EdgeRequest) -> tuple[Resolved | Unknown, tuple[tuple[bytes, bytes], ...]]:
        """A request's way, and the fields that its answer gets because of it."""
        decision = self._resolver.resolve(request.host)
        if not isinstance(decision, ByRequest):
            return decision, ()
        asked = Asked(request.host, request.target, request.client, request.headers)
        settled = self._resolver.settle(decision, asked)
        return settled.route, settled.fields

    def _serve(self, route: Resolved | Unknown, request: EdgeRequest, target: Target) -> Response | FunctionFirst:
        if isinstance(route, Unknown):
            return error_pages.unknown_host(route)
        if route.target is not None:
            target = parse_target(route.target)
        pipeline = route.pipeline
        with self._store.read() as snapshot:
            manifest = self._manifest(snapshot, pipeline.manifest)
            if pipeline.function is not None and self._runs_function(pipeline.manifest, manifest, target.path):
                return FunctionFirst(pipeline, target, found_by(route))
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
        answer = self._assets.answer(asset_request, manifest, pipeline.manifest, kept)
        return replace(answer, headers=without_bucket(answer.headers)) if deals_bucket(answer.headers) else answer

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

    def _exhausted(self, error: BlobsExhausted) -> Response:
        logged_ns, now_ns = self._exhausted_logged_ns, self.now_ns()
        if logged_ns is None or now_ns - logged_ns >= EXHAUSTED_LOGGED_EVERY_NS:
            self._exhausted_logged_ns = now_ns
            event_log().warning("edge.exhausted", what=str(error), cure="allow more open files, or fewer connections")
        return error_pages.exhausted()

    def _note_damage(self, host: bytes, error: Exception) -> None:
        self._meter.add(DAMAGED_ANSWERS)
        what = str(error)
        if what not in self._damage_logged:
            self._damage_logged[what] = True
            event_log().error(
                "deployment.damaged",
                host=host.decode("ascii", "replace"),
                what=what,
                cure="run 'onehop check' to see what else is damaged and how to mend it",
            )


def found_by(route: Resolved | Unknown) -> tuple[str, str]:
    """(scheme, rule), as requests are counted."""
    return (route.scheme, route.rule) if isinstance(route, Resolved) else UNFOUND


def with_arm(
    headers: Sequence[tuple[bytes, bytes]], fields: Sequence[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """With what an arm adds. A site can't say in its name how a request was found; and an answer that deals a bucket is
    that client's alone, so no shared cache may give it to another. The site's own `headers` deal none."""
    names = {name for name, _ in fields}
    kept = [each for each in headers if not (each[0] in names and is_timing(*each))]
    if b"set-cookie" in names:
        kept = [each for each in kept if not is_caching(each[0])] + [(b"cache-control", PRIVATE)]
    return [*kept, *fields]


def is_caching(name: bytes) -> bool:
    """A field that lets a cache keep an answer: Cache-Control, and those that are asked before it, of which RFC 9213
    has every cache name its own (CDN-Cache-Control)."""
    name = name.lower()
    return name.endswith(b"cache-control") or name in CACHING_NAMES


def is_timing(name: bytes, value: bytes) -> bool:
    return name == b"server-timing" and TIMING_NAME in value.lower()


def deals_bucket(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(is_bucket(*each) for each in headers)


def without_bucket(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Which arm a visitor is in is the operator's to say, before a split as during one: no `_headers` and no function
    of a site may set that cookie."""
    return [each for each in headers if not is_bucket(*each)]


def is_bucket(name: bytes, value: bytes) -> bool:
    return name.lower() == b"set-cookie" and value.partition(b"=")[0].strip() == COOKIE


def with_fields(response: Response, fields: Sequence[tuple[bytes, bytes]]) -> Response:
    return replace(response, headers=with_arm(response.headers, fields), lasts=False) if fields else response


def hostname_in(authority: bytes) -> str:
    """The normal form of a Host that a function made up, as far as it has one."""
    try:
        return Hostname.parse(authority).name
    except HostRefused:
        return authority.decode("latin-1").lower()
