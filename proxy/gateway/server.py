"""aiohttp's HTTP server, with our limits, our timeouts, and our words where it refuses or fails."""

from __future__ import annotations

import asyncio
import math
import secrets
from enum import Enum, auto
from typing import Any

from aiohttp import web

from proxy.config.models import ClientTimeouts
from proxy.errors import SidekeyError
from proxy.gateway.capacity import Capacity
from proxy.gateway.parser import QUEUE_LIMIT, RequestParser, refusal_of, request_parser
from proxy.gateway.problems import problem
from proxy.gateway.reset import reset_at_close
from proxy.gateway.stall import StallWatch
from proxy.mistakes import tell


class _Phase(Enum):
    """What a connection is at."""

    NEW = auto()  # nothing has been sent
    HEAD = auto()  # a head is coming in, and no request is under way
    REQUEST = auto()
    IDLE = auto()


class ClientConnection(web.RequestHandler):
    """A client's connection. aiohttp's own words would quote the message, and be no JSON.

    aiohttp has one time for idle connections and for heads, so both are counted here.
    """

    __slots__ = ("_answered", "_capacity", "_phase", "_stall", "_timeouts", "_timer", "_wire")

    def __init__(
        self,
        server: web.Server,
        loop: asyncio.AbstractEventLoop,
        timeouts: ClientTimeouts,
        capacity: Capacity,
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
        self._timeouts = timeouts
        self._capacity = capacity
        self._answered = 0
        self._phase = _Phase.NEW
        self._timer: asyncio.TimerHandle | None = None
        self._wire: asyncio.Transport | None = None
        self._stall: StallWatch | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if not self._capacity.admit(transport):
            transport.abort()
            return
        self._wire = transport
        self._stall = StallWatch(
            transport,
            self._timeouts.send.total_seconds(),
            handed=self._handed,
            give_up=transport.abort,
        )
        super().connection_made(transport)
        self._allow(self._timeouts.head.total_seconds())

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
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

    def data_received(self, data: bytes) -> None:
        """Read on, and tell whoever waits for content that none will follow a broken chunk.

        aiohttp only queues a refusal behind the request, which then waits for its content forever:
        nothing can be queued behind content that has not ended, unless it is malformed.
        """
        queued = len(self._messages)
        super().data_received(data)
        self._note_phase()
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
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._answered += 1
            self._note_phase()
            if self._stall is not None:
                self._stall.end()  # the next answer is counted from 0
                self._stall.begin()

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
        response = problem(error, secrets.token_hex(8))
        response.force_close()
        return response

    def _handed(self) -> int:
        """Return how many bytes of the answer under way have been written."""
        request = self._current_request
        return 0 if request is None else request.writer.output_size

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
        """Close the connection after `seconds`, `None`: keep it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self.force_close)


class ClientServer(web.Server):
    """A server whose connections speak in our words, and are counted together."""

    def __call__(self) -> web.RequestHandler:
        return ClientConnection(self, self._loop, **self._kwargs)
