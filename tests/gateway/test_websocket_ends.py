"""How a tunnel ends: what is told of it, and what still arrives."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import sidekey
from raw_client import RawClient, message, raw_client
from raw_upstream import Conversation, conversing
from websocket_samples import HANDSHAKE, SWITCHED

from proxy.events import Event, RequestAborted, RequestForwarded
from proxy.gateway.reset import NO_LINGERING
from proxy.gateway.websocket import _End

PIECE = 16 * 1024  # bytes, less than makes the proxy stop reading


@asynccontextmanager
async def joined(
    tmp_path: Path, converse: Callable[[Conversation], Awaitable[None]]
) -> AsyncIterator[tuple[RawClient, asyncio.Future[Event]]]:
    """Yield a client whose tunnel to `converse` is open, and what will be told of the request."""
    told: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

    def observe(event: Event) -> None:
        if isinstance(event, RequestForwarded | RequestAborted):
            told.set_result(event)  # a second one would be an error

    async def switched(peer: Conversation) -> None:
        await peer.request()
        await peer.send(SWITCHED)
        await converse(peer)

    async with (
        conversing(switched) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), observe=observe) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(message("GET /r/a", *HANDSHAKE, host=proxy.host))
        await client.head()
        yield client, told


async def test_a_websocket_that_the_upstream_closes_is_told_as_forwarded(tmp_path: Path) -> None:
    async def converse(peer: Conversation) -> None:
        await peer.send(b"last words")

    async with joined(tmp_path, converse) as (client, told):
        assert await client.reader.read() == b"last words"
        event = await told
    assert isinstance(event, RequestForwarded)
    assert (event.method, event.path, event.status) == ("GET", "/r/a", 101)


async def test_a_websocket_that_the_client_closes_is_told_as_forwarded(tmp_path: Path) -> None:
    received: list[bytes] = []

    async def converse(peer: Conversation) -> None:
        received.append(await peer.reader.read())

    async with joined(tmp_path, converse) as (client, told):
        await client.send(b"last words")
        client.writer.close()
        assert isinstance(await told, RequestForwarded)
    assert received == [b"last words"]


async def test_the_last_bytes_of_a_client_that_leaves_at_once_arrive(tmp_path: Path) -> None:
    """Those too that the upstream has not made room for yet."""
    left = asyncio.Event()
    received: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def converse(peer: Conversation) -> None:
        peer.writer.transport.pause_reading()
        await left.wait()
        peer.writer.transport.resume_reading()
        received.set_result(len(await peer.reader.read()))

    async with joined(tmp_path, converse) as (client, told):
        ends = [thing for thing in gc.get_objects() if type(thing) is _End]
        sent = 0
        while not any(end.transport.get_write_buffer_size() for end in ends):
            await client.send(bytes(PIECE))
            sent += PIECE
            await asyncio.sleep(0.001)
        client.writer.close()
        await client.writer.wait_closed()
        await asyncio.sleep(0.2)  # the proxy sees it
        left.set()
        assert await received == sent
        assert isinstance(await told, RequestForwarded)


@pytest.mark.parametrize("side", ["client", "upstream"])
async def test_a_websocket_that_is_reset_is_told_as_aborted(tmp_path: Path, side: str) -> None:
    async def converse(peer: Conversation) -> None:
        if side == "upstream":
            reset(peer.writer)
        else:
            await peer.reader.read()

    async with joined(tmp_path, converse) as (client, told):
        if side == "client":
            reset(client.writer)
        event = await told
    assert isinstance(event, RequestAborted)
    assert side in event.reason


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection so that the peer gets ECONNRESET."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
    writer.transport.abort()
