"""What door 1 asks of an edge, so that most requests are answered where their bytes arrive.

    header block → understand → KnownBlock → bind (once a generation) → .find (ready bytes) or make (a fresh answer)

It answers GET and HEAD for assets of hosts whose decision leaves nothing open, also those that a site's `_routes.json`
keeps from its function: a path alone decides that. All else isn't for it, and goes through the ASGI application: what
a function answers, splits and other policy by request, unknown hosts, damage, bodies, odd targets.

What a request costs besides, it shares with those that arrive in the same turn of the event loop: the look at the
store, the clock, the counting. A turn ends before anything that was written in it leaves.
"""

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from lru import LRU

from asset_server.conditional import is_unmodified
from router.edge import Edge, EdgeRequest, found_by
from router.forwarded import TrustedProxies
from router.http1.answer_head import AnswerInvalid
from router.http1.head import parse_field_block
from router.http1.limits import HttpLimits
from router.http1.refusal import Refused
from router.http1.request_line import ORIGIN_LINE, without_query
from router.http1.request_reader import EMPTY_LINE
from router.known_block import BLOCK_BYTES_MAX, UNBOUND, KnownBlock
from router.metrics.catalogue import DECISION_HITS, READY_ANSWERS, READY_BYTES, READY_HITS, cell
from router.metrics.meter import EdgeMeter
from router.ready import QUERY_IGNORED, DefaultFields, ReadyAnswer, ReadyAnswers
from router.resolve import Resolved, Resolver

METHODS: Final = frozenset({b"GET", b"HEAD"})
"""Others are refused by assets, which is nothing to be fast at."""
SHARED_BLOCKS_MAX: Final = 1_024
"""Up to 4 MB of them."""
IF_NONE_MATCH: Final = b"if-none-match"
NANOSECONDS_PER_S: Final = 1e9
NO_TURN: Final = -2
"""No resolver's generation, nor UNBOUND: outside of a turn nothing is bound."""
DECIDED: Final = cell(DECISION_HITS)
READY: Final = cell(READY_HITS)


class ReadyDoor:
    """One process's. `answers` outlive the connections. `generation` is the resolver's while a turn is on."""

    def __init__(
        self,
        edge: Edge,
        resolver: Resolver,
        answers: ReadyAnswers,
        meter: EdgeMeter,
        *,
        proxies: TrustedProxies,
        now_ns: Callable[[], int],
    ) -> None:
        self._edge = edge
        self._resolver = resolver
        self._answers = answers
        self._meter = meter
        self._proxies = proxies
        self._now_ns = now_ns
        self._blocks: LRU[tuple[bytes, str, str, int, int], KnownBlock] = LRU(SHARED_BLOCKS_MAX)
        self._began_ns = 0
        self._made_count = 0
        self.generation = NO_TURN
        self.began_s = 0.0
        self.default_fields: DefaultFields = []
        self.answered: list[int] = []

    def begin_turn(self, default_fields: DefaultFields, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._began_ns = self._now_ns()
        self.began_s = self._began_ns / NANOSECONDS_PER_S
        self._resolver.follow(self.began_s)
        self.generation = self._resolver.generation
        self.default_fields = default_fields
        call_soon(self.end_turn)

    def end_turn(self) -> None:
        self.generation = NO_TURN
        answered = self.answered
        if answered:
            cells = self._meter.cells
            cells[DECIDED] += len(answered)
            cells[READY] += len(answered) - self._made_count
            self._meter.answered_together(answered, self._now_ns() - self._began_ns)
            answered.clear()
            self._made_count = 0

    def understand(self, data: bytes, limits: HttpLimits, *, peer: str, scheme: str) -> KnownBlock | None:
        """What the header block `data` means. None where it is refused, a body follows or may follow, or no Host says
        whom to ask. Connections share what short blocks mean: many send the same, and some are for one request only."""
        bytes_max = min(BLOCK_BYTES_MAX, limits.header_bytes_max)
        if len(data) > bytes_max:
            return self._examine(data, limits, bytes_max, peer=peer, scheme=scheme)
        key = (data, peer if self._proxies.networks else "", scheme, bytes_max, limits.header_count_max)
        known: KnownBlock | None = self._blocks.get(key)
        if known is None:
            known = self._examine(data, limits, bytes_max, peer=peer, scheme=scheme)
            if known is not None:
                self._blocks[key] = known
        return known

    def _examine(self, data: bytes, limits: HttpLimits, bytes_max: int, *, peer: str, scheme: str) -> KnownBlock | None:
        try:
            block = parse_field_block(data[: -len(EMPTY_LINE)], count_max=limits.header_count_max)
        except Refused:
            return None  # the reader will say why
        if block.host is None or block.content_length or block.is_chunked or block.expects_continue:
            return None
        scheme = self._proxies.scheme(peer, scheme, block.fields)
        return KnownBlock(data, block, host=block.host, scheme=scheme, bytes_max=bytes_max)

    def bind(self, known: KnownBlock) -> None:
        """Takes the host's decision, if it is cached; if not, the way through the application caches it."""
        known.unbind()
        decision = self._resolver.peek(known.host)
        known.generation = self.generation if decision is not None else UNBOUND
        if isinstance(decision, Resolved) and decision.target is None:
            known.route = decision
            known.series = self._meter.series(found_by(decision))
            if known.choices is not None:
                known.terms = ready_terms(known, decision, known.choices)
                known.find = self._answers.view(known.terms).get

    def answer(self, known: KnownBlock, line: bytes, *, target_bytes_max: int) -> ReadyAnswer | None:
        """The answer to a request with a block that is bound, dated and with its conditions heeded. None: it isn't for
        this door."""
        answer = known.find(line)
        if answer is None and len(line) <= target_bytes_max:
            answer = find_without_query(known, line) or self._make_safely(known, line)
        if answer is None:
            return None
        if known.conditions:
            answer = heed_conditions(known, answer)
        answer.is_asked = True
        if answer.dated_by is not self.default_fields:
            answer.date(self.default_fields)
        return answer

    def _make_safely(self, known: KnownBlock, line: bytes) -> ReadyAnswer | None:
        try:
            return self._make(known, line)
        except Exception:  # noqa: BLE001  # the application meets it again and answers for it, see Exchange.run
            return None

    def _make(self, known: KnownBlock, line: bytes) -> ReadyAnswer | None:
        """Where none is found by its line."""
        match = ORIGIN_LINE.fullmatch(line)
        if match is None or known.route is None:
            return None
        method, path, query, minor_version = match.groups()
        if method not in METHODS or minor_version != b"1":
            return None
        if known.terms is not None:
            view = self._answers.view(known.terms)
            known.find = view.get
            ready = view.get(line) or view.get(line_without_query(method, path))
            if ready is not None and (query is None or ready.ignores_query):
                return ready
        request = EdgeRequest(
            method=method.decode("ascii"),
            target=path + b"?" + query if query else path,
            host=known.host,
            scheme=known.scheme,
            headers=known.fields,
            client="",
            received_ns=0,
        )
        response = self._edge.answer_plainly(known.route, request)
        if response is None:
            return None
        try:
            if known.terms is not None and response.lasts:
                is_any_query = response.status in QUERY_IGNORED or response.status == HTTPStatus.NOT_MODIFIED
                asked = line_without_query(method, path) if is_any_query else line
                if self._answers.wants(known.terms, asked):
                    self._keep(known.terms, asked, request, known.route)
            answer = ReadyAnswer(response, is_head=method == b"HEAD")
        except AnswerInvalid:
            return None
        self._made_count += 1
        return answer

    def _keep(self, terms: bytes, line: bytes, request: EdgeRequest, route: Resolved) -> None:
        """For the next who asks. Raises AnswerInvalid."""
        headers = [field for field in request.headers if field[0] != IF_NONE_MATCH]
        response = self._edge.answer_plainly(route, replace(request, headers=headers))
        if response is None or not response.lasts:
            return
        is_head, unmodified = request.method == "HEAD", None
        if response.validator:
            condition = (IF_NONE_MATCH, response.validator)
            answer = self._edge.answer_plainly(route, replace(request, headers=[*headers, condition]))
            if answer is None:
                return
            unmodified = ReadyAnswer(answer, is_head=is_head)
        self._answers.put(terms, line, ReadyAnswer(response, is_head=is_head, unmodified=unmodified))
        self._meter.put(READY_ANSWERS, len(self._answers))
        self._meter.put(READY_BYTES, self._answers.bytes_count)


def heed_conditions(known: KnownBlock, answer: ReadyAnswer) -> ReadyAnswer:
    """The 304 in the place of a ready 200 that the client has."""
    unmodified = answer.unmodified
    if unmodified is None or not is_unmodified(known.conditions, answer.validator):
        return answer
    answer.is_asked = True
    return unmodified


def find_without_query(known: KnownBlock, line: bytes) -> ReadyAnswer | None:
    shorter = without_query(line)
    answer = known.find(shorter) if shorter is not None else None
    return answer if answer is not None and answer.ignores_query else None


def ready_terms(known: KnownBlock, route: Resolved, choices: bytes) -> bytes:
    """All that a ready answer depends on beside the request's line, so written that no two mean the same bytes: a
    scheme and a host have no NUL, the choices have one length."""
    return b"\0".join((known.scheme.encode("ascii"), known.host.lower(), route.pipeline.encode(), choices))


def line_without_query(method: bytes, path: bytes) -> bytes:
    return b"%b %b HTTP/1.1\r\n" % (method, path)
