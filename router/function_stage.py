"""A function's turn: a request to workerd and its answer back, both streamed.

    FunctionRequest → lease of a process → conversation → ASGI messages

A function that can't be run, and one that was lost on the way, get one of our pages, or the assets where the site has
asked for that. A request that may be repeated is sent once more when its process was lost before it answered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

from asset_server.message import Response
from functions.errors import FunctionUnavailable
from functions.event_sink import Ending
from functions.supervisor import Supervisor
from functions.workerd_http import AnswerStart, WorkerdConnection, WorkerdGone
from functions.workerd_process import WorkerdProcess
from router import error_pages
from router.exchange import UPGRADE, AnswerBrokenOff
from router.function_request import OUTCOME, UNSTARTED, Fields, FunctionRequest, answer_fields
from router.metrics.catalogue import FunctionOutcome
from router.metrics.function_meter import FunctionMeter

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEAD_S: Final = 100.0
"""How long a function may take to its answer's head, from the last part of the request's body."""
LOOPS_MAX: Final = 8
TRIES: Final = 2
SWITCHING: Final = 101
FINAL: Final = range(200, 600)
TOO_SLOW: Final = 504
LOST: Final = 502
TOOK_ALL: Final = "exceededCpu"
NOT_RUN: Final = "unknown"
"""Outcomes as tail clients know them; which of time and memory it was can't be told."""
CLIENT_GONE: Final = 499
"""What is counted for a request whose client didn't wait for the answer."""


class FunctionStage:
    """One edge worker's way to its functions."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        opens_to_assets: Callable[[str], bool],
        watched_until_ms: Callable[[str], int],
        note_ending: Callable[[FunctionRequest, Ending], None],
        cf: Mapping[str, object],
        meter: FunctionMeter,
        now_ns: Callable[[], int],
    ) -> None:
        """By bundle: whether its site wants assets where the function can't be run, and until when (Unix time)
        somebody watches it. `note_ending` takes, for the author, what the function itself couldn't tell."""
        self._supervisor = supervisor
        self._opens_to_assets = opens_to_assets
        self._watched_until_ms = watched_until_ms
        self._note_ending = note_ending
        self._cf = cf
        self._meter = meter
        self._now_ns = now_ns

    async def answer(
        self, request: FunctionRequest, receive: Receive, send: Send, from_assets: Callable[[], Response]
    ) -> int | Response:
        """The status of what was sent, or an answer that is still to be sent."""
        if request.loops_count > LOOPS_MAX:
            self._meter.ended(FunctionOutcome.LOOP)
            return error_pages.function_loop()
        begun_ns = self._now_ns()

        def note_head() -> None:
            self._meter.answered_after(self._now_ns() - begun_ns)

        try:
            for tries_left in reversed(range(TRIES)):
                outcome = await self._try(request, Turn(request, receive, send, note_head), is_last=not tries_left)
                if isinstance(outcome, Failed):
                    return self._failed(request, outcome)
                if outcome is not None:
                    is_gone = outcome == CLIENT_GONE
                    self._meter.ended(FunctionOutcome.CLIENT_GONE if is_gone else FunctionOutcome.ANSWERED)
                    return outcome
        except AnswerBrokenOff:
            self._meter.ended(FunctionOutcome.BROKEN_OFF)
            raise
        except FunctionUnavailable as error:
            is_slow = error.status == TOO_SLOW
            self._meter.ended(FunctionOutcome.TOO_SLOW if is_slow else FunctionOutcome.UNAVAILABLE)
            failure = error_pages.function_unavailable(error.status, error.reason, retry_after_s=error.retry_after_s)
            if self._watched_until_ms(request.bundle):  # else a visitor who asks again and again would fill the log
                self._note_ending(request, Ending(error.reason, error.status, NOT_RUN))
        except FunctionLost as lost:
            self._meter.ended(lost.outcome)
            failure = lost.page()
            if (ending := lost.ending) is not None:
                self._note_ending(request, ending)
        if request.method in ("GET", "HEAD") and self._opens_to_assets(request.bundle):
            return from_assets()
        return failure

    def _failed(self, request: FunctionRequest, failed: "Failed") -> Response:
        self._meter.ended(FunctionOutcome.FAILED if failed.text is None else FunctionOutcome.UNSTARTED)
        if failed.text is not None:
            self._note_ending(request, Ending(failed.text))
        return error_pages.function_failed()

    async def _try(self, request: FunctionRequest, turn: "Turn", *, is_last: bool) -> "int | Failed | None":
        """None: once more. Raises FunctionUnavailable, FunctionLost."""
        async with self._supervisor.lease(request.bundle, is_from_function=request.loops_count > 0) as process:
            try:
                outcome = await self._converse(request, turn, process)
                self._supervisor.probation.note_answer(request.bundle)
            except WorkerdGone:
                if turn.client_is_gone:
                    return CLIENT_GONE
                if turn.has_answered:
                    raise AnswerBrokenOff from None
                await process.settled()
                was_to_blame = self._supervisor.was_to_blame(process, request.bundle)
                if is_last or not request.is_repeatable or self._supervisor.rests(request.bundle):
                    raise FunctionLost(has_ended=process.has_ended, was_to_blame=was_to_blame) from None
                return None
        return outcome

    async def _converse(self, request: FunctionRequest, turn: "Turn", process: WorkerdProcess) -> "int | Failed":
        head = request.ask_head(cf=self._cf, watched_until_ms=self._watched_until_ms(request.bundle))
        conversation = await process.way.ask(head)
        try:
            return await turn.carry(conversation, process)
        finally:
            # Only what was carried to its end is used again; closing tells workerd that nobody waits.
            process.way.give_back(conversation)


class FunctionLost(Exception):
    """The conversation broke off before the answer's head. Where the process lives on, the function broke it off."""

    def __init__(self, *, has_ended: bool, was_to_blame: bool) -> None:
        super().__init__("the function didn't answer")
        self._has_ended = has_ended
        self._was_to_blame = was_to_blame

    @property
    def outcome(self) -> FunctionOutcome:
        if not self._has_ended:
            return FunctionOutcome.FAILED
        return FunctionOutcome.TOO_SLOW if self._was_to_blame else FunctionOutcome.LOST

    @property
    def ending(self) -> Ending | None:
        """None where the process lives on: then it tells of it itself."""
        if not self._has_ended:
            return None
        if self._was_to_blame:
            return Ending("it took all the time or memory that there was, and was ended", TOO_SLOW, TOOK_ALL)
        return Ending("its process ended while the request was under way", LOST, NOT_RUN)

    def page(self) -> Response:
        if not self._has_ended:
            return error_pages.function_failed()
        return error_pages.function_too_slow() if self._was_to_blame else error_pages.function_lost()


@dataclass(frozen=True, slots=True)
class Failed:
    """The function ended with an error. `text` is for its author, where the function itself couldn't tell."""

    text: str | None


class Turn:
    """One try of a request."""

    def __init__(self, request: FunctionRequest, receive: Receive, send: Send, note_head: Callable[[], None]) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._note_head = note_head
        self.has_answered = False
        self.client_is_gone = False
        self._head_deadline: asyncio.Timeout | None = None

    async def carry(self, conversation: WorkerdConnection, process: WorkerdProcess) -> int | Failed:
        """The request's body there and the answer back, to the end. Raises WorkerdGone, also when the client went."""
        upload = asyncio.ensure_future(self._send_body(conversation))
        try:
            # What may be asked again needn't wait for a process that doesn't come to it.
            with process.waiting(conversation) if self._request.is_repeatable else nullcontext():
                start = await self._answer_start(conversation)
            if self._request.is_upgrade and start.status == SWITCHING:
                return await self._tunnel(conversation, start)
            if start.status not in FINAL:
                return Failed(f"it answered with the status {start.status}")
            outcome = next((value for name, value in start.fields if name == OUTCOME), None)
            if outcome is not None:
                text = (await conversation.next_part() or b"").decode("utf-8", "replace")
                return Failed(text if outcome == UNSTARTED else None)
            return await self._pass_answer(conversation, start)
        except TimeoutError:
            raise FunctionUnavailable(
                504, f"The function hadn't begun to answer after {HEAD_S:.0f} s.", retry_after_s=1
            ) from None
        finally:
            upload.cancel()

    async def _answer_start(self, conversation: WorkerdConnection) -> AnswerStart:
        """Raises WorkerdGone, TimeoutError."""
        async with asyncio.timeout(HEAD_S) as deadline:
            self._head_deadline = deadline
            try:
                return await conversation.answer_start()
            finally:
                self._head_deadline = None

    async def _send_body(self, conversation: WorkerdConnection) -> None:
        """Carries the body over, then waits for the client to go, with whom the conversation ends too."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.client_is_gone = True
                conversation.close()
                return
            if self._request.is_upgrade and self.has_answered:
                await conversation.send_raw(message["body"])
            elif self._request.body_bytes != 0:
                await conversation.send_body(message["body"], is_last=not message["more_body"])
                if self._head_deadline is not None and not self._head_deadline.expired():
                    self._head_deadline.reschedule(asyncio.get_running_loop().time() + HEAD_S)

    async def _pass_answer(self, conversation: WorkerdConnection, start: AnswerStart) -> int:
        self.has_answered = True
        self._note_head()
        await self._send({"type": "http.response.start", "status": start.status, "headers": self._fields(start)})
        while True:
            part = await conversation.next_part()
            is_last = part is None or conversation.is_exhausted
            await self._send({"type": "http.response.body", "body": part or b"", "more_body": not is_last})
            if is_last:
                return start.status

    def _fields(self, start: AnswerStart) -> Fields:
        return answer_fields(start, is_preview=self._request.is_preview)

    async def _tunnel(self, conversation: WorkerdConnection, start: AnswerStart) -> int:
        """Until either side ends it; `_send_body` goes on carrying the client's bytes."""
        self.has_answered = True
        self._note_head()
        await self._send({"type": UPGRADE, "headers": self._fields(start)})
        while (part := await conversation.next_part()) is not None:
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return start.status
