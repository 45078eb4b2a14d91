"""64 MiB pass through a real `sidekey run` without its memory growing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from command_line import Home, Started
from gateway_samples import keyed
from raw_client import RawClient, raw_client
from raw_upstream import OK, Conversation, conversing

MIB = 2**20
SIZE = 64 * MIB
GROWTH = 16 * MIB
BLOCK = bytes(range(256)) * 1024
BOTH = """
inject:
- {in: header, name: Authorization, format: "Bearer {token}"}
- {in: body, name: i, paths: [/form]}
"""


async def count(peer: Conversation, head_length: int | None) -> int:
    """Read content to its end without keeping it, and return its size."""
    total = 0
    if head_length is None:
        async for chunk in peer.chunks():
            total += len(chunk)
        return total
    while total < head_length:
        total += len(await peer.reader.read(2**18))
    return total


async def transfer(peer: Conversation) -> None:
    """Take uploads and answer with their size; answer 64 MiB to a GET of /down."""
    while True:
        head = await peer.head()
        if head.target == "/down":
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for _ in range(SIZE // len(BLOCK)):
                await peer.send(BLOCK)
            continue
        length = head.field("Content-Length")
        size = str(await count(peer, int(length[0]) if length else None)).encode()
        await peer.send(OK.replace(b"2\r\n\r\nok", b"%d\r\n\r\n%s" % (len(size), size)))


@asynccontextmanager
async def proxied(tmp_path: Path) -> AsyncIterator[tuple[Started, int, RawClient]]:
    """A running command after a first request, its port, and a connection to it."""
    home = Home(tmp_path)
    async with conversing(transfer) as upstream:
        text = keyed(upstream.origin, more=BOTH).replace("\n", "\n  ")
        home.configure(f"store: {{type: memory}}\nupstreams:\n  {text}\n")
        async with home.serving() as process:
            port = int((await process.address()).rpartition(":")[2])
            async with raw_client(port) as client:
                await upload(client, port, "/r/up", "text/plain", b"", 1)
                yield process, port, client


async def upload(
    client: RawClient, port: int, target: str, media_type: str, beginning: bytes, blocks: int
) -> int:
    """Send that many blocks, and return the size that the upstream saw."""
    ending = b"\r\n--b--\r\n" if beginning else b""
    length = len(beginning) + blocks * len(BLOCK) + len(ending)
    head = f"POST {target} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: {media_type}\r\n"
    await client.send(f"{head}Content-Length: {length}\r\n\r\n".encode() + beginning)
    for _ in range(blocks):
        await client.send(BLOCK)
    await client.send(ending)
    answer = await client.answer()
    assert answer.status == 200, answer.content
    return int(answer.content) - len(beginning) - len(ending)


async def test_64_mib_up_with_a_header(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (process, port, client):
        before = process.peak
        blocks = SIZE // len(BLOCK)
        media_type = "application/octet-stream"
        assert await upload(client, port, "/r/up", media_type, b"", blocks) == SIZE
        assert process.peak - before < GROWTH


async def test_64_mib_up_with_a_field_in_a_form(tmp_path: Path) -> None:
    """Surprise 14."""
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    own_field = len(b'--b\r\nContent-Disposition: form-data; name="i"\r\n\r\ncanary-key-1\r\n')
    async with proxied(tmp_path) as (process, port, client):
        before = process.peak
        blocks = SIZE // len(BLOCK)
        media_type = "multipart/form-data; boundary=b"
        received = await upload(client, port, "/r/form", media_type, form, blocks)
        assert received == SIZE + own_field
        assert process.peak - before < GROWTH


async def test_64_mib_down(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (process, port, client):
        before = process.peak
        await client.send(f"GET /r/down HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        await client.head()
        left = SIZE
        while left:
            left -= len(await client.reader.read(min(left, 2**18)))
        assert process.peak - before < GROWTH


@pytest.mark.parametrize("readers", [8])
async def test_slow_readers_cost_no_memory(tmp_path: Path, readers: int) -> None:
    """Each asks for 64 MiB and takes nothing of it."""
    async with proxied(tmp_path) as (process, port, _):
        before = process.peak
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(readers)]
        for reader, writer in slow:
            writer.write(f"GET /r/down HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
        async with raw_client(port) as client:  # others are served meanwhile
            await upload(client, port, "/r/up", "text/plain", b"", 16)
        assert process.peak - before < GROWTH
        for _, writer in slow:
            writer.transport.abort()
