"""aiohttp's HTTP server, with our limits, our timeouts, and our words where it refuses or fails."""

from __future__ import annotations

import asyncio
import math
from enum import Enum, auto
from typing import Any, cast

from aiohttp import web

from proxy.config.models import ClientTimeouts
from proxy.errors import SidekeyError
from proxy.gateway.boundaries import Boundaries
from proxy.gateway.capacity import Capacity
from proxy.gateway.fast_lane import Begun, FastExchange, FastLane
from proxy.gateway.parser import QUEUE_LIMIT, RequestParser, refusal_of, request_parser
from proxy.gateway.problems import problem
from proxy.gateway.request_id import new_request_id
from proxy.gateway.reset import reset_at_close
from proxy.gateway.stall import StallWatch
from proxy.mistakes import tell

TURNS = 3  # of the loop, until a request that was queued is under way


class _Phase(Enum):
    """What a connection is at."""

    NEW = auto()  # nothing has been sent
    HEAD = auto()  # a head is coming in, and no request is under way
    REQUEST = auto()
    IDLE = auto()


class ClientConnection(web.RequestHandler):
    """A client's connection. aiohttp's own words would quote the message, and be no JSON.

    aiohttp has one time for idle connections and for heads, so both are counted here. `block` is
    the head of the request under way without its first line, if it came in one piece and there is a
    fast lane that wants to know it. A connection
    is `trusted` once the guard has let a request in: who its peer is does not change. `begun` is
    what the fast lane has begun of the request under way, and nobody goes on with yet.
    """

    __slots__ = (
        *("_answered", "_boundaries", "_capacity", "_closes_at", "_fast", "_goes_on", "_lane"),
        *("_later", "_over", "_phase", "_stall", "_timeouts", "_timer", "_wire", "_written"),
        *("begun", "block", "trusted"),
    )

    def __init__(
        self,
        server: web.Server,
        loop: asyncio.AbstractEventLoop,
        timeouts: ClientTimeouts,
        capacity: Capacity,
        lane: FastLane | None,
    ) -> None:
        settings: dict[str, Any] = {"access_log": None, "keepalive_timeout": math.inf}
        super().__init__(server, loop=loop, **settings)
        self._max_msg_queue_size = QUEUE_LIMIT
        self._msg_queue_resume_size = QUEUE_LIMIT - 1
        self._parser = request_parser(
            self,
            loop=loop,
            limit=self._read_bufsize,
            payload_exception=web.RequestPayloadError,
            max_msg_queue_size=QUEUE_LIMIT,
        )
        self.block: bytes | None = None
        self.trusted = False
        self._timeouts = timeouts
        self._capacity = capacity
        self._lane = lane
        self._fast: FastExchange | None = None
        self.begun: Begun | None = None
        self._goes_on = True
        self._boundaries = Boundaries()
        self._later = b""  # what came while the fast lane passes an answer on
        self._written = 0  # bytes of that answer
        self._over: asyncio.Future[None] | None = None  # somebody waits for its end
        self._closes_at = math.inf
        self._answered = 0
        self._phase = _Phase.NEW
        self._timer: asyncio.TimerHandle | None = None
        self._wire: asyncio.Transport | None = None
        self._stall: StallWatch | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        wire = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        if not self._capacity.admit(wire):
            wire.abort()
            return
        self._wire = wire
        self._stall = StallWatch(
            wire,
            self._timeouts.send.total_seconds(),
            handed=self._handed,
            give_up=wire.abort,
        )
        super().connection_made(transport)
        self._allow(self._timeouts.head.total_seconds())

    @property
    def place(self) -> object:
        """The address of our end of the connection, `None` after its end."""
        return None if self._wire is None else self._wire.get_extra_info("sockname")

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._fast is not None:
            self._fast.client_left()
            self._fast = None
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        self._drop_begun()
        self._allow(None)
        if self._wire is not None:
            self._capacity.leave(self._wire)
            self._wire = None
        if self._stall is not None:
            self._stall.end()
            self._stall = None

    def force_close(self) -> None:
        """Close; an answer that is not complete does not end as if it were."""
        if self._current_request is not None and self._wire is not None:
            reset_at_close(self._current_request, self._wire)
        super().force_close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall is not None:
            self._stall.begin()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._fast is not None:
            self._fast.go_on()

    def data_received(self, data: bytes) -> None:
        """Lead bytes into one of the two lanes."""
        if self._fast is not None and self._fast.has_begun:
            self._later += data
            self._pause_reading_for_buffer()
            return
        if self._fast is not None:
            self._fast.hand_over()  # who sends more before the answer needs a queue
        elif self._lane is not None and self._is_free() and self._lane.take(self, data):
            return
        self._read(data)

    def close(self) -> None:
        """Take no more requests; the ordinary lane gets what waits for its answer."""
        if self._fast is not None and not self._fast.has_begun:
            self._fast.hand_over()
        super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  aiohttp's
        """Let what is under way end in time; what has been handed over begins first."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if self._fast is not None:
            self._over = self._loop.create_future()
            patience = None if timeout is None else 2 * timeout  # aiohttp waits twice as well
            await asyncio.wait({self._over}, timeout=patience)
        if self._fast is not None:
            self._fast.client_left()
            self.cut()
        await super().shutdown(timeout)

    def begin_at_once(self, exchange: FastExchange) -> None:
        """Count a request that the fast lane answers."""
        assert self._wire is not None
        self._fast = exchange
        self._request_count += 1
        self._phase = _Phase.REQUEST
        self._closes_at = math.inf
        self._capacity.work(self._wire)

    def write_at_once(self, data: bytes) -> None:
        """Write a part of the fast lane's answer."""
        assert self._wire is not None
        self._wire.write(data)
        self._written += len(data)

    def end_at_once(self) -> None:
        """Count the answer of the fast lane, which is complete."""
        assert self._wire is not None
        self._fast = None
        self._written = 0
        self._answered += 1
        self._phase = _Phase.IDLE
        self._capacity.rest(self._wire)
        self._allow(self._timeouts.idle.total_seconds())
        if self._wire.get_write_buffer_size():
            self._watch_anew()
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        if self._later:
            data, self._later = self._later, b""
            self._resume_reading_for_buffer()
            self.data_received(data)

    def cut(self) -> None:
        """End the connection in the middle of the fast lane's answer."""
        assert self._wire is not None
        self._fast = None
        self._wire.abort()

    def take_over(self, data: bytes, begun: Begun) -> None:
        """Lead a request that the fast lane has begun through the ordinary one."""
        self._fast = None
        self._phase = _Phase.IDLE
        self._request_count -= 1  # it is counted again
        counted = self._request_count
        self.begun = begun
        self._read(data)
        if self._request_count == counted:  # the connection is about to end
            self._drop_begun()

    def go_on(self) -> Begun | None:
        """Return what the fast lane has begun, for whom goes on with it."""
        begun, self.begun = self.begun, None
        if begun is not None:
            begun.forwarding.usage.end()
        return begun

    def _drop_begun(self) -> None:
        begun = self.go_on()
        if begun is not None:
            begun.connection.cut()

    def _is_free(self) -> bool:
        """Tell whether all that came before is answered, and the answers are on their way."""
        return (
            self._phase is _Phase.IDLE
            and self.trusted
            and self._boundaries.is_between
            and self._goes_on
            and not (self._messages or self._close or self._force_close or self._upgraded)
            and not self.writing_paused
        )

    def _read(self, data: bytes) -> None:
        """Read on, and tell whoever waits for content that none will follow a broken chunk.

        aiohttp only queues a refusal behind the request, which then waits for its content forever:
        nothing can be queued behind content that has not ended, unless it is malformed.
        """
        queued = len(self._messages)
        begins = self._phase in (_Phase.NEW, _Phase.IDLE)
        super().data_received(data)
        self._note_phase()
        if data:
            head = self._boundaries.read(data, list(self._messages)[queued:])
            is_alone = begins and len(self._messages) == 1 and self._lane is not None
            self.block = head[head.find(b"\r\n") :] if head is not None and is_alone else None
        if len(self._messages) == queued:
            return
        payloads = [payload for _, payload in self._messages][:-1]
        if self._current_request is not None:
            payloads.append(self._current_request.content)
        for payload in payloads:
            if not payload.is_eof():
                payload.set_exception(web.RequestPayloadError())

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send what is left of an answer; say that the connection ends if content is missing."""
        if not resp.prepared and not request.content.is_eof():
            resp.force_close()
        if request.content is self._boundaries.final:
            resp.force_close()
        self._drop_begun()
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._goes_on = bool(resp.keep_alive)
            self._answered += 1
            self.block = None  # what follows may have been read already, behind its back
            self._note_phase()
            self._watch_anew()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return a problem; raise `ConnectionError` if an answer has begun."""
        if status == 500 and exc is not None:
            tell(exc)
        if request.writer.output_size > 0:
            if self._wire is not None:
                self._wire.abort()  # a proper end would turn half an answer into a whole one
            raise ConnectionError("the answer has begun")
        error = SidekeyError("this is a mistake in sidekey; its log says where")
        if status == 400:
            error = refusal_of(exc)
        response = problem(error, new_request_id())
        response.force_close()
        return response

    def _handed(self) -> int:
        """Return how many bytes of the answer under way have been written."""
        request = self._current_request
        return self._written if request is None else request.writer.output_size

    def _watch_anew(self) -> None:
        if self._stall is not None:
            self._stall.end()  # the next answer is counted from 0
            self._stall.begin()

    def _note_phase(self) -> None:
        """Set the time that the client has from now on, and whether it may be left for another."""
        before, self._phase = self._phase, self._phase_now()
        if self._wire is None or self._phase is before:
            return
        if self._phase is _Phase.REQUEST:
            self._capacity.work(self._wire)
            self._allow(None)
            return
        if before is _Phase.NEW:
            return  # the time for the first head has run since the beginning
        if before is _Phase.REQUEST:
            self._capacity.rest(self._wire)
        is_idle = self._phase is _Phase.IDLE
        self._allow((self._timeouts.idle if is_idle else self._timeouts.head).total_seconds())

    def _phase_now(self) -> _Phase:
        if self._request_count > self._answered:
            return _Phase.REQUEST
        if isinstance(self._parser, RequestParser) and self._parser.head_size:
            return _Phase.HEAD
        return _Phase.IDLE if self._answered else _Phase.NEW

    def _allow(self, seconds: float | None) -> None:
        """Close the connection after `seconds`, `None`: keep it.

        Most times are over before they have run: the timer looks then how much is left.
        """
        self._closes_at = math.inf if seconds is None else self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._closes_at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and seconds is not None:
            self._timer = self._loop.call_at(self._closes_at, self._look_at_time)

    def _look_at_time(self) -> None:
        self._timer = None
        if self._loop.time() >= self._closes_at:
            self.force_close()
        elif self._closes_at < math.inf:
            self._timer = self._loop.call_at(self._closes_at, self._look_at_time)


class ClientServer(web.Server):
    """A server whose connections speak in our words, and are counted together."""

    def __call__(self) -> web.RequestHandler:
        return ClientConnection(self, self._loop, **self._kwargs)


def head_as_sent(request: web.BaseRequest) -> bytes:
    """Return the head of a request as its client sent it, but for white space and empty lines."""
    start = (
        f"{request.method} {request.raw_path} HTTP/{request.version.major}.{request.version.minor}"
    )
    fields = b"".join(b"%b: %b\r\n" % field for field in request.raw_headers)
    return b"%b\r\n%b\r\n" % (start.encode(errors="surrogateescape"), fields)


def connection_of(request: web.BaseRequest) -> ClientConnection:
    """Return the connection that a request came on."""
    assert isinstance(request.protocol, ClientConnection)
    return request.protocol
