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
from asset_server.message import Response
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
SHARED_BLOCKS_MAX: Final = 6_144
"""Up to 20 MB of them, mostly a fifth of that. Behind a proxy each of the hosts that are asked for has one or more."""
IF_NONE_MATCH: Final = b"if-none-match"
NANOSECONDS_PER_S: Final = 1e9
NO_TURN: Final = -2
"""No resolver's generation, nor UNBOUND: outside of a turn nothing is bound."""
BlockKey = tuple[bytes, str, str, int, int]
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
        self._blocks: LRU[BlockKey, KnownBlock] = LRU(SHARED_BLOCKS_MAX)
        self._began_ns = 0
        self._made_count = 0
        self._decided_count = 0
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
            # Who was decided for here is counted as a miss, and no hit then, of this turn's or of the next one's.
            decided_count = min(self._decided_count, len(answered))
            self._decided_count -= decided_count
            cells[DECIDED] += len(answered) - decided_count
            cells[READY] += len(answered) - self._made_count
            self._meter.answered_together(answered, self._now_ns() - self._began_ns)
            answered.clear()
            self._made_count = 0

    def recall(self, data: bytes, limits: HttpLimits, *, peer: str, scheme: str) -> KnownBlock | None:
        """What the short block `data` meant when any connection last sent it: many send the same, and one that asks
        for many hosts sends each host's in turn."""
        known: KnownBlock | None = self._blocks.get(self._key(data, limits, peer, scheme))
        return known

    def understand(
        self, data: bytes, limits: HttpLimits, last: KnownBlock, *, peer: str, scheme: str
    ) -> KnownBlock | None:
        """What the short block `data` means, from now on for all connections. `last` came before it on this one."""
        known = last.for_other_host(data) or self.examine(data, limits, peer=peer, scheme=scheme)
        if known is not None:
            self._blocks[self._key(data, limits, peer, scheme)] = known
        return known

    def _key(self, data: bytes, limits: HttpLimits, peer: str, scheme: str) -> BlockKey:
        """All that the meaning of a block hangs on beside the code."""
        peer = peer if self._proxies.networks else ""
        return data, peer, scheme, limits.header_bytes_max, limits.header_count_max

    def examine(self, data: bytes, limits: HttpLimits, *, peer: str, scheme: str) -> KnownBlock | None:
        """What the block `data` means, for this request. None where it is refused, a body follows or may follow, or no
        Host says whom to ask."""
        try:
            block = parse_field_block(data[: -len(EMPTY_LINE)], count_max=limits.header_count_max)
        except Refused:
            return None  # the reader will say why
        if block.host is None or block.content_length or block.is_chunked or block.expects_continue:
            return None
        scheme = self._proxies.scheme(peer, scheme, block.fields)
        bytes_max = min(BLOCK_BYTES_MAX, limits.header_bytes_max)
        return KnownBlock(data, block, host=block.host, scheme=scheme, bytes_max=bytes_max)

    def bind(self, known: KnownBlock) -> None:
        """Takes the host's decision. Where its route alone doesn't make one, it is for the application to find out."""
        known.unbind()
        decision = self._resolver.peek(known.host)
        if decision is None:
            decision = self._resolver.decide_by_route(known.host)
            self._decided_count += decision is not None
        known.generation = self.generation if decision is not None else UNBOUND
        if isinstance(decision, Resolved) and decision.target is None:
            known.route = decision
            known.series = self._meter.series(found_by(decision))
            if known.choices is not None:
                known.terms = ready_terms(known, decision, known.choices)
                known.shared_terms = shared_terms(decision, known.choices)
                known.find = self._answers.view(known.shared_terms).get

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
            for terms in (known.terms, known.shared_terms):
                view = self._answers.view(terms)
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
                terms = known.shared_terms if response.is_for_any_host else known.terms
                if self._answers.wants(terms, asked):
                    self._keep(terms, asked, request, known.route, None if known.conditions else response)
            answer = ReadyAnswer(response, is_head=method == b"HEAD")
        except AnswerInvalid:
            return None
        self._made_count += 1
        return answer

    def _keep(
        self, terms: bytes, line: bytes, request: EdgeRequest, route: Resolved, response: Response | None
    ) -> None:
        """For the next who asks. `response` is the answer to the request without a condition, where it had none.
        Raises AnswerInvalid."""
        headers = [field for field in request.headers if field[0] != IF_NONE_MATCH]
        if response is None:
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


def shared_terms(route: Resolved, choices: bytes) -> bytes:
    """Of answers that are for any host of a pipeline: a deployment's own, its branch's, a site's. In place of a scheme
    is nothing, so that no host's own terms are the same."""
    return b"\0".join((b"", route.pipeline.encode(), choices))


def line_without_query(method: bytes, path: bytes) -> bytes:
    return b"%b %b HTTP/1.1\r\n" % (method, path)
