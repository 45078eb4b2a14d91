"""Upgraded connections: after the upstream's 101 both sides are joined, byte for byte.

Frames, fragments, pings and close codes pass untouched, because nobody here reads them. So the
peers alone judge what is malformed or too long, and when the proxy stops, both see their connection
end without a close frame (1006): nobody here knows where a frame ends, so none can be put between.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp.client_proto
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict, MultiMapping

from proxy.errors import UpstreamUnreachable
from proxy.gateway.head import Head
from proxy.gateway.stall import StallWatch
from proxy.gateway.upstream import UpstreamResponse
from proxy.refusals import BadMessage

FLUSH = 5.0  # seconds for the one who stays to read what the one who left had sent
_KEY = re.compile("[A-Za-z0-9+/]{22}==")
HANDSHAKE = CIMultiDict([("Connection", "Upgrade"), ("Upgrade", "websocket")])


def wants_websocket(headers: MultiMapping[str]) -> bool:
    """Tell whether the client asks for a websocket (RFC 6455 4.2.1)."""
    if headers.get("Upgrade", "").strip().lower() != "websocket":
        return False
    options = [option.strip() for option in headers.get("Connection", "").lower().split(",")]
    return "upgrade" in options


def check_handshake(request: Head) -> None:
    """Raise `BadMessage` for a handshake that is not of RFC 6455 4.1 to the letter.

    Nothing that another server could take for an ordinary request may open a tunnel.
    """
    headers = request.headers
    if not wants_websocket(headers):
        return
    if request.method != "GET" or request.version != HttpVersion11:
        raise BadMessage("a websocket begins with GET and HTTP/1.1")
    if "Transfer-Encoding" in headers or headers.get("Content-Length", "0").strip() != "0":
        raise BadMessage("the handshake of a websocket has no content")
    if headers.getall("Sec-WebSocket-Version", []) != ["13"]:
        raise BadMessage("the version of a websocket is 13")
    keys = headers.getall("Sec-WebSocket-Key", [])
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise BadMessage("the handshake of a websocket has one key of 16 bytes")


class _Tail:
    """Collects what the other side sent before the connections were joined."""

    def __init__(self) -> None:
        self.received = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.received += data
        return False, b""

    def feed_eof(self) -> None:
        """aiohttp calls this when the connection is lost; nothing is left to do."""


class _End(asyncio.Protocol):
    """One end of the tunnel: what arrives here is written to the other end.

    A slow reader at the other end pauses reading here, so memory stays bounded. One that takes
    nothing for `patience` seconds is left, and with it the tunnel.
    """

    def __init__(self, transport: asyncio.Transport, patience: float) -> None:
        self.transport = transport
        self.stall = StallWatch(transport, patience, handed=lambda: self.handed, give_up=self.cut)
        self.handed = 0  # bytes
        self.former = transport.get_protocol()
        self.closed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.is_broken = False  # not everything may have passed
        self.other: _End | None = None

    def write(self, data: bytes) -> None:
        self.handed += len(data)
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.write(data)

    def pause_writing(self) -> None:
        self.stall.begin()
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stall.end()
        self.is_broken = self.is_broken or exc is not None
        self.closed.set_result(exc)
        if self.other is not None:
            self.other.transport.close()

    def cut(self) -> None:
        """Close without waiting for the peer to take what is left for it."""
        self.is_broken = True
        self.transport.abort()

    def part(self) -> None:
        """Tell aiohttp of the end: not before, since it ends the task that joined the two."""
        if not self.closed.done():
            self.cut()
        self.closed.add_done_callback(lambda closed: self.former.connection_lost(closed.result()))


def _collect(protocol: Any, tail: _Tail) -> None:
    """Move the bytes that aiohttp has read past the handshake into `tail`.

    `set_parser` asks for aiohttp's own reader; all it uses are the two methods above.
    The client's protocol wants one more argument than the server's.
    """
    if isinstance(protocol, aiohttp.client_proto.ResponseHandler):
        protocol.set_parser(tail, None)
    else:
        protocol.set_parser(tail)


async def join(request: web.BaseRequest, answer: UpstreamResponse, patience: float) -> None:
    """Join client and upstream until one of them leaves, or reads nothing for `patience` seconds.

    The client has had its 101 already. Raises `ConnectionError` if the client's connection broke,
    `UpstreamUnreachable` if the upstream's did, or if nothing is left of it.
    """
    connection = answer.connection
    if connection.transport is None or request.transport is None:
        raise UpstreamUnreachable("the connection was lost during the handshake")
    ours, theirs = request.transport, connection.transport
    from_client, from_upstream = _Tail(), _Tail()
    for protocol, tail in ((request.protocol, from_client), (connection, from_upstream)):
        _collect(protocol, tail)
    client_end, upstream_end = _End(ours, patience), _End(theirs, patience)
    client_end.other, upstream_end.other = upstream_end, client_end
    for end in (client_end, upstream_end):
        end.transport.set_protocol(end)
    upstream_end.write(from_client.received)
    client_end.write(from_upstream.received)
    ends = {client_end.closed, upstream_end.closed}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(ends, timeout=FLUSH)
    finally:
        for end in (client_end, upstream_end):
            end.part()
    if client_end.is_broken:
        raise ConnectionError("the client's end of the websocket broke")
    if upstream_end.is_broken:
        raise UpstreamUnreachable("the upstream: the connection of the websocket broke")
