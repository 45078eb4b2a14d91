"""Connections to one upstream, kept for the next request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import Protocol

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDictProxy
from yarl import URL

from proxy.connections import (
    FIELD_LIMIT,
    AnswerProtocol,
    Connector,
    ImproperAnswer,
    is_proper,
    proxy_url,
    tls_context,
)

IDLE_LIMIT = 15.0  # seconds; servers keep idle connections for 5 (node) to 75 (nginx)
PROBE = b"HTTP/1.1 100 Probe\r\n\r\n"
GOODBYE = 1.0  # seconds that upstreams may take to agree that a connection ends
READ_BUFFER = 256 * 1024  # bytes of an answer that may wait for the client
WITHOUT_CONTENT = frozenset({"HEAD"})  # methods whose answer has none, whatever it says


class Taker(Protocol):
    """Who takes what comes, instead of aiohttp's parser (the fast lane)."""

    def received(self, data: bytes) -> None:
        """Take bytes."""

    def hand_over(self) -> None:
        """Take note that the connection is lost."""


class UpstreamConnection(AnswerProtocol):
    """A connection to an upstream, for one exchange after the other.

    `first` is what came first of an answer. `proxy_authorization` is what the forward proxy on the
    way wants to see in each request.
    """

    held: aiohttp.connector.Connection  # what aiohttp's connector wants back in the end
    proxy_authorization: str | None = None
    taker: Taker | None = None
    is_known = False  # it has been kept once
    is_resting = False  # nothing is expected to come
    is_idle = False  # nothing may come
    first = b""

    def data_received(self, data: bytes) -> None:
        """Lead bytes to whoever takes them."""
        if self.taker is not None:
            self.taker.received(data)
            return
        if self.is_idle:
            self.force_close()  # whatever begins here is no answer to the next request
        self.first = self.first or data
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whoever waits for an answer."""
        super().connection_lost(exc)
        if self.taker is not None:
            self.taker.hand_over()

    def expect(self, method: str, patience: float) -> None:
        """Be ready for the answer to a request; each read of it may take `patience` seconds."""
        self.first = b""
        self.is_resting = self.is_idle = False
        self.set_response_params(
            skip_payload=method in WITHOUT_CONTENT,
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=patience,
            read_bufsize=READ_BUFFER,
            max_line_size=FIELD_LIMIT,
            max_field_size=FIELD_LIMIT,
        )

    def write(self, data: bytes) -> None:
        """Send bytes; raise `aiohttp.ClientConnectionError` where nobody is left to take them."""
        if self.transport is None:
            raise aiohttp.ServerDisconnectedError
        self.transport.write(data)

    def rest(self) -> None:
        """Wait for the client: no read takes too long meanwhile."""
        self.is_resting = True
        self._drop_timeout()

    def start_timeout(self) -> None:
        """Wait for the upstream, as long as a read may take."""
        self.is_resting = False
        super().start_timeout()

    def _reschedule_timeout(self) -> None:
        """Count no time in which nothing is read, or nothing can come: that is not its fault."""
        if self.is_resting or self._reading_paused or self._buffer_paused:
            self._drop_timeout()
        else:
            super()._reschedule_timeout()

    def pause(self) -> None:
        """Read no more, while the one who takes what comes has no room."""
        self._pause_transport_reading()

    def go_on(self) -> None:
        """Read again."""
        self._resume_transport_reading()

    async def drain(self) -> None:
        """Wait until the upstream takes more. Raises `aiohttp.ClientConnectionError`."""
        await self._drain_helper()

    async def answer(self) -> tuple[aiohttp.http.RawResponseMessage, aiohttp.StreamReader]:
        """Return the head of the final answer, and its content as it will come.

        Raises `aiohttp.ClientError`, `ImproperAnswer` among them.
        """
        while True:
            try:
                message, content = await self.read()
            except HttpProcessingError:
                raise ImproperAnswer from None
            if not 100 <= message.code <= 199 or message.code == 101:
                break
        if not is_proper(message.version, message.code, CIMultiDictProxy(message.headers)):
            raise ImproperAnswer
        if message.code == 101 and not self.upgraded:
            raise ImproperAnswer  # nobody could tell when the connection is free again
        return message, content

    def is_clean(self) -> bool:
        """Tell whether the next bytes to come will be those of the next answer, and all was sent.

        Only an interim answer tells that the parser does not stand in the middle of another one,
        which came behind the answer: where it begins anew, it would take the rest for the next.
        """
        if self.transport is None or self.transport.get_write_buffer_size():
            return False
        if not self.first or self._parser is None:
            return True  # all was read by a taker, who knows where it ends
        try:
            messages, _, _ = self._parser.feed_data(PROBE)
        except HttpProcessingError:
            return False
        return [(message.code, message.reason) for message, _ in messages] == [(100, "Probe")]

    def end(self) -> None:
        """Close; what has been written may still arrive."""
        self.held.close()

    def cut(self) -> None:
        """Close, and leave what has not been sent."""
        self.abort()
        self.held.close()


class Pool:
    """Connections to the upstream at `origin`, directly or through a forward `proxy`.

    The one that was used last is used next, so that those beyond need grow old and go.
    """

    def __init__(self, origin: str, proxy: str | None, patience: float) -> None:
        """`patience` is how many seconds a connection may take, names and handshakes included."""
        self._origin = URL(origin)
        self._proxy = proxy
        self._patience = patience
        self._idle: deque[tuple[UpstreamConnection, float]] = deque()
        self._connector: Connector | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def idle(self) -> UpstreamConnection | None:
        """Return a connection that is ready, if there is one."""
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.is_connected():
                return connection
            connection.end()
        return None

    async def ready(self) -> UpstreamConnection:
        """Return an idle connection, or a new one. Raises as `opened` does."""
        connection = self.idle()
        return await self.opened() if connection is None else connection

    async def opened(self) -> UpstreamConnection:
        """Return a new connection. Raises `aiohttp.ClientError` and `OSError`."""
        if self._connector is None:
            self._connector = Connector(UpstreamConnection)
        request = self._request()
        timeout = aiohttp.ClientTimeout(connect=self._patience)
        try:
            held = await self._connector.connect(request, [], timeout)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None
        connection = held.protocol
        assert isinstance(connection, UpstreamConnection)
        connection.held = held
        connection.proxy_authorization = request.headers.get("Proxy-Authorization")
        return connection

    def _request(self) -> aiohttp.ClientRequest:
        """Return what aiohttp's connector makes a connection for; it is never sent."""
        return aiohttp.ClientRequest(
            "GET",
            self._origin,
            loop=asyncio.get_running_loop(),
            proxy=proxy_url(self._proxy),
            ssl=tls_context() if self._origin.scheme == "https" else True,
        )

    def keep(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose exchange is over; close it if it cannot be used again."""
        if not connection.is_known and connection.transport is not None:
            connection.is_known = True  # its session too: to ask for that costs 200 us
            tls = connection.transport.get_extra_info("ssl_object")
            if tls is not None:
                tls_context().keep_session(tls)
        if self._closed or not connection.is_connected():
            connection.end()
            return
        if not connection.is_clean():
            connection.cut()
            return
        connection.is_idle = True
        connection.first = b""
        self._idle.append((connection, time.monotonic()))
        if self._sweeper is None:
            self._sweep()

    async def close(self) -> None:
        """Close every idle connection; those in use are closed when they are given back."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        closing = [connection.closed for connection, _ in self._idle]
        while self._idle:
            self._idle.pop()[0].end()
        if self._connector is not None:
            await self._connector.close()
        waiting = [closed for closed in closing if closed is not None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await asyncio.gather(*waiting, return_exceptions=True)

    def _sweep(self) -> None:
        """Close what has been idle for too long, now and as long as something is kept."""
        self._sweeper = None
        long_ago = time.monotonic() - IDLE_LIMIT
        while self._idle and (self._idle[0][1] < long_ago or not self._idle[0][0].is_connected()):
            self._idle.popleft()[0].end()
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_LIMIT / 3, self._sweep)
