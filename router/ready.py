"""Ready answers: heads and bodies as they go out, kept for whoever asks the same again.

    terms → ReadyAnswers.view → View, by request line → ReadyAnswer → .data, .tail

Terms are all that an answer depends on beside the request's line, and among them is the pipeline, which never changes:
so nothing in here is ever stale. What a deploy changes is a host's decision, and with that the terms that are asked
for. Answers that time changes (assets kept from replaced deployments, until they expire) don't come in, see
`Response.lasts`.

Room is bounded. An answer is let in when it is asked for the second time within a while, and pushes out what hasn't
been asked for since the hand last passed it: a scan of any number of files, each once, changes nothing.
"""

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from asset_server.message import Response
from router.http1.answer_head import STATUS_LINES, AnswerTerms, render_answer_head
from router.http1.limits import KIB, MIB

READY_BYTES_MAX: Final = 40 * MIB
ENTRY_BYTES: Final = 1 * KIB
"""What an answer costs beside its bytes, generously."""
MAPPED_BYTES: Final = 1 * MIB
"""What an answer counts for whose body is mapped: it takes no memory of its own, but a descriptor and a map."""
SEEN_MAX: Final = 32_768
"""Keys remembered as asked for once, twice over: about 5 MB."""
PASSED_MAX: Final = 64
"""How many answers that were asked for the hand passes before it gives up and leaves the newcomer out."""
TERMS_OF_GET: Final = AnswerTerms(is_head=False, minor_version=1, keep_alive=True)
TERMS_OF_HEAD: Final = AnswerTerms(is_head=True, minor_version=1, keep_alive=True)
EMPTY_LINE: Final = b"\r\n"
CLOSING: Final = b"connection: close\r\n\r\n"
QUERY_IGNORED: Final = frozenset({200, 404})
"""The answers that a query can't change: asset_server.server repeats it in a Location and uses it for nothing else."""

DefaultFields = list[tuple[bytes, bytes]]
"""What the connection puts in front of an answer's fields; a new list whenever it changes, as Date does."""

NOTHING: Final[Mapping[bytes, "ReadyAnswer"]] = MappingProxyType({})
View = Mapping[bytes, "ReadyAnswer"]


class ReadyAnswer:
    """One answer's bytes, for as long as the pipeline lives. `unmodified` is its 304.

    `data` is the head and, where that is in memory, the body; `tail` is a mapped body. `weight`: what it counts for, in
    bytes. `status_class` is 2 for 200.
    """

    __slots__ = (
        "_body_at",
        "_fields_at",
        "data",
        "dated_by",
        "ignores_query",
        "is_asked",
        "status",
        "status_class",
        "tail",
        "unmodified",
        "validator",
        "weight",
    )

    def __init__(self, response: Response, *, is_head: bool, unmodified: "ReadyAnswer | None" = None) -> None:
        """Raises AnswerInvalid."""
        body = response.body
        terms = TERMS_OF_HEAD if is_head else TERMS_OF_GET
        head = render_answer_head(response.status, response.headers, terms, whole_body_bytes=len(body))
        self.status = response.status
        self.status_class = response.status // 100
        self.validator = response.validator
        self.unmodified = unmodified
        self.ignores_query = response.status in QUERY_IGNORED
        self.is_asked = False
        self.tail = body if isinstance(body, memoryview) else None
        self.data = head.data if isinstance(body, memoryview) else head.data + body
        self.dated_by: DefaultFields | None = None
        self._fields_at = len(STATUS_LINES[response.status])
        self._body_at = len(head.data)
        self.weight = ENTRY_BYTES + len(self.data) + (MAPPED_BYTES if self.tail is not None else 0)
        if unmodified is not None:
            self.weight += unmodified.weight

    def date(self, default_fields: DefaultFields) -> None:
        """Puts `default_fields` in the place of those that were there."""
        data, status_bytes = memoryview(self.data), len(STATUS_LINES[self.status])
        lines = b"".join([b"%b: %b\r\n" % field for field in default_fields])
        self.data = b"".join((data[:status_bytes], lines, data[self._fields_at :]))
        shift = status_bytes + len(lines) - self._fields_at
        self._fields_at += shift
        self._body_at += shift
        self.dated_by = default_fields

    @property
    def body_bytes(self) -> int:
        return len(self.data) - self._body_at + (len(self.tail) if self.tail is not None else 0)

    def closing(self) -> bytes:
        """`data` with the word that the connection ends after it."""
        data, end = memoryview(self.data), self._body_at
        return b"".join((data[: end - len(EMPTY_LINE)], CLOSING, data[end:]))


class Doorkeeper:
    """Whether a key was asked for before, within the last SEEN_MAX to twice as many new ones. Rarely wrong, then
    with a yes: it remembers hashes, which Python keys anew in each process."""

    __slots__ = ("_before", "_now", "_seen_max")

    def __init__(self, seen_max: int = SEEN_MAX) -> None:
        self._seen_max = seen_max
        self._now: set[int] = set()
        self._before: set[int] = set()

    def has_seen(self, terms: bytes, line: bytes) -> bool:
        """Asked for the first time it says no, and remembers."""
        mark = hash((terms, line))
        if mark in self._now or mark in self._before:
            return True
        if len(self._now) >= self._seen_max:
            self._before, self._now = self._now, set()
        self._now.add(mark)
        return False


class ReadyAnswers:
    """One process's. Whoever finds an answer sets its `is_asked`."""

    def __init__(self, bytes_max: int = READY_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._views: dict[bytes, dict[bytes, ReadyAnswer]] = {}
        self._hand: deque[tuple[bytes, bytes, ReadyAnswer]] = deque()
        self._doorkeeper = Doorkeeper()
        self.bytes_count = 0

    def __len__(self) -> int:
        return len(self._hand)

    def view(self, terms: bytes) -> View:
        """What there is now under `terms`. A view may be kept: it shows what is put and pushed out, until it is empty
        or while it was; so who misses something looks for the view again."""
        return self._views.get(terms, NOTHING)

    def wants(self, terms: bytes, line: bytes) -> bool:
        """Whether it is worth while to `put` an answer there."""
        return self._doorkeeper.has_seen(terms, line) and line not in self.view(terms)

    def put(self, terms: bytes, line: bytes, answer: ReadyAnswer) -> None:
        """As far as room can be made: what is asked for keeps its own."""
        weight = answer.weight + len(line)
        if line not in self.view(terms) and self._make_room(weight):
            self._views.setdefault(terms, {})[line] = answer
            self._hand.append((terms, line, answer))
            self.bytes_count += weight

    def _make_room(self, weight: int) -> bool:
        passed_count = 0
        while self.bytes_count + weight > self._bytes_max:
            if not self._hand or passed_count > PASSED_MAX:
                return False
            terms, line, answer = self._hand.popleft()
            if answer.is_asked:
                answer.is_asked = False
                self._hand.append((terms, line, answer))
                passed_count += 1
            else:
                self.bytes_count -= answer.weight + len(line)
                view = self._views[terms]
                del view[line]
                if not view:
                    del self._views[terms]
        return True
