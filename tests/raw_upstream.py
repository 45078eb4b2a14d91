"""An upstream of raw bytes: it keeps what arrived as it arrived, and answers what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class RawRequest:
    """One request: the bytes of its head, and its content without chunk framing."""

    head: bytes
    content: bytes = b""

    @property
    def line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def target(self) -> str:
        return self.line.split(b" ")[1].decode("latin-1")

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Every field as it was written, in order."""
        lines = self.head.decode().removesuffix("\r\n\r\n").split("\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def field(self, name: str) -> list[str]:
        """Every value of the field `name`, in any case."""
        return [value for key, value in self.fields if key.lower() == name.lower()]


@dataclass
class Conversation:
    """One connection, from the upstream's side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> RawRequest:
        """Read the next head; raises `asyncio.IncompleteReadError` when the peer has left."""
        return RawRequest(await self.reader.readuntil(b"\r\n\r\n"))

    async def request(self) -> RawRequest:
        """Read the next request as a whole."""
        head = await self.head()
        return RawRequest(head.head, await self.content(head))

    async def content(self, head: RawRequest) -> bytes:
        if head.field("Transfer-Encoding") == ["chunked"]:
            return b"".join([chunk async for chunk in self.chunks()])
        return await self.reader.readexactly(int((head.field("Content-Length") or ["0"])[0]))

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection so that the peer gets ECONNRESET."""
        self.writer.transport.abort()


Converse = Callable[[Conversation], Awaitable[None]]
Answer = bytes | Callable[[RawRequest], bytes]


@dataclass
class RawUpstream:
    """What arrived at the upstream, and where it listens."""

    origin: str
    requests: list[RawRequest] = field(default_factory=list)
    connections: int = 0

    @property
    def last(self) -> RawRequest:
        return self.requests[-1]


@asynccontextmanager
async def conversing(
    converse: Converse, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawUpstream]:
    """Serve `converse` for every connection; a connection ends when it returns."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        upstream.connections += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await converse(Conversation(reader, writer))
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
    port = server.sockets[0].getsockname()[1]
    upstream = RawUpstream(f"{'https' if tls else 'http'}://127.0.0.1:{port}")
    try:
        yield upstream
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def answering(*answers: Answer) -> AsyncIterator[RawUpstream]:
    """Give `answers` in turn, the last one ever after, to whole requests; keep the requests."""
    left = list(answers) or [OK]

    async def converse(peer: Conversation) -> None:
        while True:
            request = await peer.request()
            upstream.requests.append(request)
            answer = left.pop(0) if len(left) > 1 else left[0]
            await peer.send(answer if isinstance(answer, bytes) else answer(request))

    async with conversing(converse) as upstream:
        yield upstream


def response(status: str, content: bytes = b"", *fields: str) -> bytes:
    """Return an answer with Content-Length: `response("401 Unauthorized", b"no")`."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


def json_response(status: str, content: bytes, *fields: str) -> bytes:
    return response(status, content, "Content-Type: application/json", *fields)
