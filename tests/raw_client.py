"""A client of raw bytes: it sends exactly what it is told and shows exactly what came back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxying import Sidekey


@dataclass(frozen=True)
class RawAnswer:
    """One answer; `content` is without chunk framing, `ended` tells a proper end from a cut."""

    head: bytes
    content: bytes
    ended: bool

    @property
    def line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode()

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    @property
    def fields(self) -> list[tuple[str, str]]:
        lines = self.head.decode().removesuffix("\r\n\r\n").split("\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def field(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def json(self) -> Any:
        return json.loads(self.content)


class RawClient:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self, method: str = "GET") -> RawAnswer:
        """Read one answer to a request of `method`."""
        head = RawAnswer(await self.head(), b"", ended=True)
        if method == "HEAD" or head.status in (101, 204, 304) or head.status == 100:
            return head
        content, ended = await self._content(head)
        return RawAnswer(head.head, content, ended)

    async def _content(self, head: RawAnswer) -> tuple[bytes, bool]:
        if head.field("Transfer-Encoding") == ["chunked"]:
            return await self._chunked()
        length = head.field("Content-Length")
        if not length:
            return await self.reader.read(), True
        try:
            return await self.reader.readexactly(int(length[0])), True
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            return getattr(error, "partial", b""), False

    async def _chunked(self) -> tuple[bytes, bool]:
        content = b""
        try:
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                content += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        except (asyncio.IncompleteReadError, ConnectionError):
            return content, False
        return content, True

    async def chunk(self) -> bytes:
        """Read one chunk of a chunked answer."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        content = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return content

    def leave(self) -> None:
        """Go away without waiting for anything."""
        self.writer.transport.abort()


class _KeepingReader(asyncio.StreamReader):
    """Keeps what arrived, read or not."""

    def __init__(self, received: bytearray) -> None:
        super().__init__(limit=2**20)
        self._received = received

    def feed_data(self, data: bytes) -> None:
        self._received += data
        super().feed_data(data)


@asynccontextmanager
async def raw_client(
    place: int | Path, received: bytearray | None = None
) -> AsyncIterator[RawClient]:
    """Connect to a port of this machine or to a unix socket; add to `received` what arrives."""
    loop = asyncio.get_running_loop()
    reader = _KeepingReader(received) if received is not None else asyncio.StreamReader(2**20)
    protocol = asyncio.StreamReaderProtocol(reader)
    if isinstance(place, Path):
        transport, _ = await loop.create_unix_connection(lambda: protocol, str(place))
    else:
        transport, _ = await loop.create_connection(lambda: protocol, "127.0.0.1", place)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()


def message(line: str, *fields: str, content: bytes = b"", host: str) -> bytes:
    """Return a request; `fields` follow Host, and Content-Length is not added."""
    return "\r\n".join([f"{line} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode() + content


async def ask(
    proxy: Sidekey,
    line: str,
    *fields: str,
    content: bytes = b"",
    host: str | None = None,
    received: bytearray | None = None,
) -> RawAnswer:
    """Send one request (`ask(proxy, "GET /r/a")`) over a connection of its own."""
    host = host if host is not None else proxy.host
    if content and not any(f.lower().startswith("transfer-encoding") for f in fields):
        fields = (*fields, f"Content-Length: {len(content)}")
    request = message(line, *fields, content=content, host=host)
    return await ask_raw(proxy, request, line.partition(" ")[0], received=received)


async def ask_raw(
    proxy: Sidekey, request: bytes, method: str = "GET", *, received: bytearray | None = None
) -> RawAnswer:
    """Send `request` as it is over a connection of its own."""
    async with raw_client(proxy.place, received) as client:
        await client.send(request)
        return await client.answer(method)


def chunked(*pieces: bytes) -> bytes:
    """Return `pieces` in chunk framing, with the last chunk."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def check_problem(answer: RawAnswer, status: int, slug: str) -> None:
    """Check a problem about the upstream `r`, as a client reads it that knows only JSON."""
    problem = answer.json()
    assert (answer.status, problem["status"]) == (status, status)
    assert answer.field("Sidekey-Error") == [slug]
    assert answer.field("Content-Type") == ["application/problem+json"]
    assert problem["type"] == f"/_sidekey/problems/{slug}"
    assert problem["upstream"] == "r"
    assert problem["title"]
    assert problem["detail"]
