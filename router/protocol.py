"""Door 1: a connection. uvicorn's accept loop and lifecycle, our own strict reading of HTTP/1.1 (router.http1).

    bytes -> RequestReader -> head -> Exchange -> the ASGI application -> bytes
                     \\-> Refused -> one answer, nothing after it is parsed, the connection ends

One request at a time: while one is being answered, the next ones wait unparsed, and past a bound unread. One
deadline at a time, by phase: idle, in a head, in a message (body or answer must move), lingering. Nothing that a
client says of proxies is believed here. docs/decisions/0004-strict-http.md says why this isn't uvicorn's own class.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from router.access_log import AccessLog
from router.admission import Admission
from router.asgi_scope import scope_of
from router.exchange import AsgiApp, Exchange, answer_server_options
from router.http1.head import RequestHead
from router.http1.limits import HttpLimits
from router.http1.refusal import Refused, bad_request, render_refusal
from router.http1.request_reader import RequestReader
from router.lingering import Lingering
from router.metrics.catalogue import Ending
from router.metrics.meter import ListenerMeter
from router.outgoing import Outgoing
from router.patience import Patience
from router.phase import Phase


def strict_protocol(limits: HttpLimits, meter: ListenerMeter) -> type[asyncio.Protocol]:
    """The class to pass to `uvicorn.Config(http=…)`; uvicorn makes one of it for each connection."""
    admission = Admission(limits)

    class LimitedProtocol(StrictProtocol):
        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(config, server_state, app_state, limits, meter, admission)

    return LimitedProtocol


class StrictProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        limits: HttpLimits,
        meter: ListenerMeter,
        admission: Admission,
        log: AccessLog | None = None,
    ) -> None:
        self._app: AsgiApp = config.loaded_app
        self._root_path = config.root_path
        self._server_state = server_state
        self._app_state = app_state
        self._limits = limits
        self._meter = meter
        self._log = log
        self._admission = admission
        self._loop = asyncio.get_running_loop()
        self._patience = Patience(self._loop, limits, self._patience_ended)

        # The connection
        self._transport: asyncio.Transport
        self._out: Outgoing
        self._lingering: Lingering
        self._client: tuple[str, int] | None = None
        self._scheme = "http"
        self._phase = Phase.IDLE
        self._reader = RequestReader(limits)
        self._requests_left = limits.requests_count_max
        self._answered_s = 0.0
        self._is_draining = False
        self._client_has_ended = False

        # Flow
        self._is_read_paused = False
        self.is_write_paused = False

        # The request
        self._exchange: Exchange | None = None
        self._body_was_wanted = False

    # What the loop calls

    def connection_made(  # type: ignore[override]  # typeshed says BaseTransport; uvloop's is no asyncio.Transport
        self, transport: asyncio.Transport
    ) -> None:
        self._transport = transport
        self._client = get_remote_addr(transport)
        is_plain = transport.get_extra_info("sslcontext") is None
        self._scheme = "http" if is_plain else "https"
        self._out = Outgoing(transport, self._loop, is_plain=is_plain, resumed=self.resume_writing)
        self._lingering = Lingering(self._out, self._patience, self._limits)
        self._meter.opened()
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # the union lists uvicorn's own classes
        self._begin_idling()
        full = self._admission.why_not(self._address, connections_count=len(self._server_state.connections))
        if full is not None:
            self._meter.refused(full.status)
            self.write(render_refusal(full, self.default_headers, with_body=True))
            self._close()  # without lingering, which is a luxury when connections are scarce

    def data_received(self, data: bytes) -> None:
        self._patience.received_bytes += len(data)
        if self._phase is Phase.LINGERING or self._phase is Phase.CLOSING:
            if not self._lingering.discard(len(data)):
                self._meter.ended(Ending.LINGERED)
                self.abort()
            return
        if self._phase is Phase.TUNNEL:
            assert self._exchange is not None
            self._exchange.feed(data, is_last=False)
            self._settle()
            return
        self._reader.receive(data)
        self._advance()

    def eof_received(self) -> bool:
        """Keeps the way back open while an answer is owed: half-closed clients wait for it (RFC 9112 9.6)."""
        self._client_has_ended = True
        self._out.hand_over()
        if self._phase is Phase.HEAD or (self._phase is Phase.MESSAGE and not self._reader.body_is_complete):
            self._refuse(bad_request("the connection ended within a request"))
        elif self._phase is Phase.LINGERING:
            self._close()
        return self._phase in (Phase.MESSAGE, Phase.CLOSING)

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = Phase.CLOSING
        self._patience.close()
        self._meter.closed()
        self._admission.leave(self._address)
        self._server_state.connections.discard(self)
        if self._exchange is not None:
            if self._log is not None and not self._exchange.is_answered:
                self._log.note_exchange(self._client, self._exchange)
            self._exchange.disconnect()
        self._out.lost()
        self.resume_writing()

    def pause_writing(self) -> None:
        if not self.is_write_paused:
            self.is_write_paused = True
            self._begin_window()

    def resume_writing(self) -> None:
        if self._out.go_on():
            return
        self.is_write_paused = False
        if self._phase is Phase.IDLE:
            self._begin_idling()
        elif self._phase is Phase.LINGERING:
            self._loop.call_soon(self._linger)  # not within the transport's own call
        self._out.wake()

    # What uvicorn's server calls

    def shutdown(self) -> None:
        """The worker is to end: a connection closes after its answer. So does an idle one, after a moment without a
        request: closed now, it could cross one that is on its way, and its client would have no answer."""
        self._is_draining = True
        if self._phase is Phase.IDLE:
            self._begin_idling()
        elif self._phase is Phase.TUNNEL:
            self._transport.close()
        elif self._exchange is not None:
            self._exchange.keep_alive = False

    # What the exchange calls

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return self._server_state.default_headers

    def write(self, data: bytes | memoryview) -> None:
        self._out.write(data)

    async def drained(self) -> None:
        while self.is_write_paused:
            await self._out.writable()

    def begin_tunnel(self) -> bytes:
        self._phase = Phase.TUNNEL
        self._patience.endless()
        return self._reader.take_rest()

    def body_wanted(self) -> None:
        if not self._body_was_wanted and self._phase is not Phase.TUNNEL:
            self._body_was_wanted = True
            self._begin_window()
        self._resume_reading()

    def may_keep_alive(self) -> bool:
        assert self._exchange is not None
        if self._exchange.body_was_delivered:
            return True
        length = self._exchange.head.content_length  # and not what has arrived of it, which is chance
        if length is None or length > self._limits.drained_bytes_max:
            self._meter.ended(Ending.UNREAD_BODY)
            return False
        return not self._exchange.awaits_continue

    def answered(self, *, keep_alive: bool) -> None:
        self._server_state.total_requests += 1
        if self._log is not None and self._exchange is not None:
            self._log.note_exchange(self._client, self._exchange)
        if self._phase is Phase.TUNNEL or (self._phase is Phase.MESSAGE and not keep_alive):
            self._end()
        elif self._phase is Phase.MESSAGE:
            self._resume_reading()
            if not self._reader.body_is_complete:
                self._begin_window()
            self._advance()

    def failed(self) -> None:
        self._meter.failed()

    def abort(self) -> None:
        self._phase = Phase.CLOSING
        self._out.abort()

    @property
    def _address(self) -> str | None:
        return self._client[0] if self._client is not None else None

    # From bytes to answers

    def _advance(self) -> None:
        """As far as the bytes here go; the only place that asks the reader."""
        reader = self._reader
        try:
            while True:
                exchange = self._exchange
                if not reader.body_is_complete:
                    part = reader.next_body_part()
                    assert exchange is not None
                    exchange.feed(part, is_last=reader.body_is_complete)
                    if not reader.body_is_complete:
                        break
                elif exchange is not None and not exchange.is_answered:
                    break
                else:
                    self._exchange = None
                    head = reader.next_head()
                    if head is None:
                        break
                    self._begin_exchange(head)
        except Refused as refused:
            self._refuse(refused)
        else:
            self._settle()

    def _begin_exchange(self, head: RequestHead) -> None:
        self._phase = Phase.MESSAGE
        if self.is_write_paused:
            self._begin_window()  # it will wait for the answer before it, which the client may not be taking
        else:
            self._patience.endless()
        self._requests_left -= 1
        if self._requests_left <= 0:
            self._meter.ended(Ending.REQUESTS)
        is_last = self._is_draining or self._requests_left <= 0
        self._body_was_wanted = False
        self._exchange = Exchange(self, head, keep_alive=head.keep_alive and not is_last)
        app = answer_server_options if head.path == b"*" else self._app
        scope = scope_of(
            head,
            server=get_local_addr(self._transport),
            client=self._client,
            scheme=self._scheme,
            root_path=self._root_path,
            state=self._app_state,
        )
        task = self._loop.create_task(self._exchange.run(app, scope))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def _settle(self) -> None:
        """After all that could be done with the bytes here: what to wait for, how long, and whether to read on."""
        exchange = self._exchange
        if exchange is None:
            self._settle_between_requests()
        elif (
            exchange.buffered_bytes > self._limits.buffered_bytes_max
            or self._reader.buffered_bytes > self._limits.buffered_bytes_max
        ) and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _settle_between_requests(self) -> None:
        is_in_head = self._reader.in_head
        if not is_in_head and (self._client_has_ended or self._is_draining):
            self._end()
        elif not is_in_head:
            self._phase = Phase.IDLE
            self._begin_idling()
        elif self._client_has_ended:
            self._refuse(bad_request("the connection ended within a request"))
        elif self._phase is not Phase.HEAD:
            self._phase = Phase.HEAD
            self._patience.with_head()

    def _resume_reading(self) -> None:
        if self._is_read_paused and not self._transport.is_closing():
            self._is_read_paused = False
            self._transport.resume_reading()

    # The end

    def _refuse(self, refused: Refused) -> None:
        """One answer, unless the request has got one; nothing after it is parsed."""
        self._meter.refused(refused.status, refused.limit)
        exchange = self._exchange
        if self._log is not None and (exchange is None or exchange.is_answered):
            self._log.note_refusal(self._client, refused.status)
        if exchange is None or not exchange.has_started_answer:
            is_head = self._reader.method == b"HEAD" or (exchange is not None and exchange.is_for_head)
            if exchange is not None:
                exchange.disconnect()
            self.write(render_refusal(refused, self.default_headers, with_body=not is_head))
            self._end()
        elif exchange.is_answered:
            self._end()
        else:
            # Half an answer is out. Its request was never whole, so tearing it off is honest, and the only bound.
            exchange.disconnect()
            self.abort()

    def _end(self) -> None:
        """After the last answer."""
        if self._client_has_ended or self._transport.is_closing():
            self._close()
            return
        self._phase = Phase.LINGERING
        self._resume_reading()
        self._linger()

    def _linger(self) -> None:
        if self._phase is Phase.LINGERING and not self._transport.is_closing():
            self._lingering.begin()

    def _close(self) -> None:
        self._phase = Phase.CLOSING
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._begin_window()
        else:
            self._patience.endless()

    # Deadlines

    def _begin_idling(self) -> None:
        if self.is_write_paused:
            self._begin_window()  # the last answer is still on its way
            return
        self._patience.with_idling(self._limits.drain_idle_s if self._is_draining else None)

    def _begin_window(self) -> None:
        self._patience.with_window(self._out.taken_bytes)

    def _patience_ended(self) -> None:
        if self._phase is Phase.HEAD:
            self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, "the request's head took too long"))
        elif self._phase is Phase.IDLE and not self._patience.in_window:
            self._look_at_idling()
        elif self._phase is Phase.LINGERING:
            self._look_at_lingering()
        elif self._out.unsent_bytes:
            if self._patience.has_taken(self._out.taken_bytes):
                self._begin_window()
            else:
                self._meter.stalled()
                self.abort()
        elif self._phase is Phase.MESSAGE:
            self._look_at_body()
        elif self._phase is Phase.TUNNEL:
            self._patience.endless()
        else:
            self._close()

    def _look_at_idling(self) -> None:
        """What was answered from ready bytes has moved no deadline, and counted no bytes."""
        left_s = self._answered_s + self._limits.idle_s - self._loop.time()
        if left_s > 0 and not self._is_draining:
            self._patience.with_idling(left_s)
        elif self._out.unsent_bytes:
            self._begin_window()
        else:
            self._meter.ended(Ending.IDLE)
            self._end() if self._out.held_bytes else self._close()

    def _look_at_lingering(self) -> None:
        is_held = self._out.held_bytes > 0
        if is_held and not self._lingering.goes_on():
            self._meter.stalled()
            self.abort()
        elif not is_held:
            self._meter.ended(Ending.LINGERED)
            self._close()

    def _look_at_body(self) -> None:
        exchange = self._exchange
        if exchange is None or self._reader.body_is_complete:
            return
        if not (exchange.is_awaiting_body or exchange.is_answered):
            self._begin_window()  # it is the application that we wait for
        elif self._patience.has_given():
            self._begin_window()
        else:
            text = "the request's body took too long"
            self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, text, limit="window_bytes_min"))
