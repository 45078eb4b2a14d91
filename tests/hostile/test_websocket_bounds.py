"""Websockets of a `sidekey run`: memory that stays bounded, and the end of the process."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import pytest
from command_line import Home, Started
from gateway_samples import keyed
from raw_client import RawClient, message, raw_client
from raw_upstream import Conversation, conversing
from websocket_samples import HANDSHAKE, SWITCHED, frame
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

MIB = 2**20
TEXT, BINARY = 1, 2


@asynccontextmanager
async def commanded(
    home: Home, converse: Callable[[Conversation], Awaitable[None]], listen: str = ""
) -> AsyncIterator[tuple[Started, int]]:
    """A `sidekey run` of its own, so that its memory can be measured, and its port."""
    async with conversing(converse) as upstream:
        text = keyed(upstream.origin).replace("\n", "\n  ")
        home.configure(f"listen: {{{listen}}}\nstore: {{type: memory}}\nupstreams:\n  {text}\n")
        async with home.serving() as process:
            yield process, int((await process.address()).rpartition(":")[2])


async def opened(client: RawClient, port: int) -> None:
    await client.send(message("GET /r/a", *HANDSHAKE, host=f"localhost:{port}"))
    assert b" 101 " in await client.head()


def deflate_bomb() -> bytes:
    """A message of 64 KiB that permessage-deflate makes 64 MiB of."""
    packing = zlib.compressobj(9, wbits=-15)
    packed = packing.compress(bytes(64 * MIB)) + packing.flush(zlib.Z_SYNC_FLUSH)
    return frame(BINARY, packed.removesuffix(b"\0\0\xff\xff"), bits=0xC0)


@pytest.mark.case("W07")
@pytest.mark.parametrize("kind", ["huge", "bomb"])
async def test_huge_messages_and_deflate_bombs_pass_in_bounded_memory(
    home: Home, kind: str
) -> None:
    """How long a message may be is the peers' business: here none is held, or unpacked."""
    sent = deflate_bomb() if kind == "bomb" else frame(BINARY, bytes(64 * MIB), mask=b"\0\0\0\0")

    async def converse(peer: Conversation) -> None:
        await peer.head()
        await peer.send(SWITCHED)
        for at in range(0, len(sent), 65536):
            piece = sent[at : at + 65536]
            assert await peer.reader.readexactly(len(piece)) == piece
        await peer.send(sent)

    async with commanded(home, converse) as (process, port), raw_client(port) as client:
        await opened(client, port)
        before = process.peak
        await client.send(sent)
        for at in range(0, len(sent), 65536):
            piece = sent[at : at + 65536]
            assert await client.reader.readexactly(len(piece)) == piece
        assert process.peak - before < 8 * MIB


@pytest.mark.case("W08")
async def test_a_slow_reader_holds_the_other_side_back_and_is_left_in_the_end(home: Home) -> None:
    ended = asyncio.Event()
    written = 0

    async def converse(peer: Conversation) -> None:
        nonlocal written
        await peer.head()
        await peer.send(SWITCHED)
        try:
            while True:
                await peer.send(bytes(MIB))
                written += MIB
        except ConnectionError:
            ended.set()

    timeouts = "timeouts: {send: 1s}"
    async with commanded(home, converse, timeouts) as (process, port):
        before = process.peak
        with closing(socket.create_connection(("127.0.0.1", port))) as deaf:
            deaf.sendall(message("GET /r/a", *HANDSHAKE, host=f"localhost:{port}"))
            await ended.wait()
        assert process.peak - before < 8 * MIB
    assert written < 64 * MIB


@pytest.mark.case("W11")
async def test_a_shutdown_ends_both_sides_and_adds_nothing(home: Home) -> None:
    """No close frame (1001) of ours: nobody here knows whether a frame has ended."""
    rest: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    half = frame(TEXT, b"half a frame")[:9]

    async def converse(peer: Conversation) -> None:
        await peer.head()
        await peer.send(SWITCHED + half)
        rest.set_result(await peer.reader.read(-1))

    async with commanded(home, converse) as (process, port), raw_client(port) as client:
        await opened(client, port)
        await client.send(half)
        assert await client.reader.readexactly(len(half)) == half
        ended = await process.stopped()
        assert await client.reader.read() == b""
        assert await rest == half
    assert (ended.code, "Traceback" in ended.err) == (0, False)


@pytest.mark.case("W11")
async def test_a_peer_of_a_shutdown_sees_1006(home: Home) -> None:
    async def echo(server: ServerConnection) -> None:
        async for received in server:
            await server.send(received)

    async with serve(echo, "127.0.0.1", 0) as server:
        origin = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        text = keyed(origin).replace("\n", "\n  ")
        home.configure(f"store: {{type: memory}}\nupstreams:\n  {text}\n")
        async with home.serving() as process:
            url = (await process.address()).replace("http", "ws") + "/r/a"
            client: ClientConnection = await connect(url, proxy=None)
            await client.send("hello")
            assert await client.recv() == "hello"
            await process.stopped()
            await client.wait_closed()
    assert client.close_code == 1006
