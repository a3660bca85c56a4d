"""An edge's connection: requests that the door knows are answered where their bytes arrive, the others as any.

bytes -> ReadyDoor -> finished bytes
             \\-> StrictProtocol, from the first request on that isn't known
"""

import asyncio
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from router.access_log import AccessLog
from router.admission import Admission
from router.head_memory import HeadMemory
from router.http1.limits import HttpLimits
from router.metrics.meter import ListenerMeter
from router.phase import Phase
from router.protocol import StrictProtocol
from router.ready_door import NO_TURN, ReadyDoor, heed_conditions

KNOWN_AT_ONCE_MAX: Final = 64
"""Requests answered in one go; more that came in the same segment let other connections pass first."""
IDLE: Final = Phase.IDLE


def ready_protocol(
    limits: HttpLimits, meter: ListenerMeter, door: ReadyDoor, log: AccessLog | None = None
) -> type[asyncio.Protocol]:
    """The class to pass to `uvicorn.Config(http=…)`. With a `log`, all requests are noted."""
    admission = Admission(limits)

    class DoorProtocol(ReadyProtocol):
        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(config, server_state, app_state, limits, meter, admission, door, log)

    return DoorProtocol


class ReadyProtocol(StrictProtocol):
    """One connection. Only an edge has this road, so the API's process doesn't load it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        limits: HttpLimits,
        meter: ListenerMeter,
        admission: Admission,
        door: ReadyDoor,
        log: AccessLog | None,
    ) -> None:
        super().__init__(config, server_state, app_state, limits, meter, admission, log)
        self._door = door
        self._memory = HeadMemory(limits)

    def shutdown(self) -> None:
        super().shutdown()
        self._memory = HeadMemory(self._limits)  # with nothing in it that is answered without a further look

    def data_received(self, data: bytes) -> None:
        if self._phase is IDLE:
            # One request with the last header block, answered from ready bytes: the road that must be short.
            known, door = self._memory.last, self._door
            if known.generation == door.generation and known.keep_alive and data.endswith(known.data):
                answer = known.find(data[: known.line_end])
                if known.conditions and answer is not None:
                    answer = heed_conditions(known, answer)
                left = self._requests_left - 1
                if (
                    answer is not None
                    and answer.tail is None
                    and answer.dated_by is door.default_fields
                    and left > 0
                    and not self.is_write_paused
                    and self._log is None
                ):
                    self._requests_left = left
                    self._answered_s = door.began_s
                    answer.is_asked = True
                    door.answered.append(known.series + answer.status_class)
                    self._transport.write(answer.data)
                    return
            data = self._answer_known(door, data)
            if not data:
                return
        super().data_received(data)

    def _answer_known(self, door: ReadyDoor, data: bytes) -> bytes:
        """Answers those of the requests in `data` that the door has or makes an answer for. What it returns, from the
        first that it hasn't on, is for the reader, which sees nothing of the others."""
        if self._is_draining:
            return data  # what is ready keeps connections alive
        if door.generation == NO_TURN:
            door.begin_turn(self._server_state.default_headers, self._loop.call_soon)
        start, at_once_left, memory = 0, KNOWN_AT_ONCE_MAX, self._memory
        while at_once_left and start < len(data) and self._requests_left > 1 and not self.is_write_paused:
            line_end = data.find(b"\n", start) + 1
            found = memory.find(door, data, line_end, self._client, self._scheme) if line_end else None
            if found is None:
                break
            known, end = found
            if known.generation != door.generation:
                door.bind(known)
            answer = door.answer(known, data[start:line_end], target_bytes_max=self._limits.target_bytes_max)
            if answer is None:
                break
            if self._log is not None:
                self._log.note_ready(self._client, data[start:end], answer.status, answer.body_bytes)
            start = end
            at_once_left -= 1
            self._requests_left -= 1
            door.answered.append(known.series + answer.status_class)
            if not known.keep_alive:
                self._write_answer(answer.closing(), answer.tail)
                self._reader.receive(data[start:])
                self._end()
                return b""
            self._write_answer(answer.data, answer.tail)
        self._answered_s = door.began_s
        return data[start:] if start else data

    def _write_answer(self, data: bytes, tail: memoryview | None) -> None:
        self._out.write_answer(data, tail)
        if tail is not None and self._out.file_bytes_left:
            self.pause_writing()
