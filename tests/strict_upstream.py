"""An upstream behind an independent parser: h11 judges every byte that the proxy sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

import h11
from raw_upstream import OK

HEAD_LIMIT = 2**20


@dataclass
class StrictRequest:
    """One request as h11 understood it; `complete` is false while its content is not all here."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    content: bytes = b""
    complete: bool = False

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def field(self, name: str) -> list[str]:
        """Every value of the field `name`, in any case."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    @property
    def decoded_path(self) -> str:
        """The path as the most forgiving server reads it: decoded until nothing changes."""
        path, before = self.path, ""
        while path != before:
            path, before = unquote(path, "latin-1"), path
        return path.replace("\\", "/")


Answer = Callable[[StrictRequest], bytes]


@dataclass
class StrictUpstream:
    """What arrived: requests, what was no HTTP at all, and every byte of every connection."""

    origin: str
    answer: Answer = lambda request: OK
    requests: list[StrictRequest] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    connections: list[bytearray] = field(default_factory=list)

    @property
    def last(self) -> StrictRequest:
        return self.requests[-1]

    @contextlib.contextmanager
    def answering(self, answer: bytes) -> Iterator[None]:
        """Give that answer to every request until the block ends."""
        before, self.answer = self.answer, lambda request: answer
        try:
            yield
        finally:
            self.answer = before


class _Connection:
    """One connection from the proxy."""

    def __init__(self, upstream: StrictUpstream) -> None:
        self._upstream = upstream
        self._parser = h11.Connection(h11.SERVER, HEAD_LIMIT)
        self._raw = bytearray()
        self._request: StrictRequest | None = None
        upstream.connections.append(self._raw)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self._raw += data
            self._parser.receive_data(data)
            for answer in self._answers():
                writer.write(answer)
                await writer.drain()
                if answer.startswith(b"HTTP/1.1 101 "):
                    await self._echo(reader, writer)

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data, _ = self._parser.trailing_data
        while data := data or await reader.read(65536):
            self._raw += data
            writer.write(data)
            await writer.drain()
            data = b""

    def _answers(self) -> Iterator[bytes]:
        """Record what can be read by now, and yield the answers to it."""
        try:
            while (event := self._parser.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Request):
                    self._request = _request(event)
                    self._upstream.requests.append(self._request)
                elif isinstance(event, h11.Data) and self._request is not None:
                    self._request.content += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                    yield self._ended(self._request, event)
                else:
                    break
        except h11.RemoteProtocolError as error:
            self._upstream.errors.append(f"{error}: {bytes(self._raw[-200:])!r}")

    def _ended(self, request: StrictRequest, event: h11.EndOfMessage) -> bytes:
        request.complete = True
        request.fields += [(f"trailer {n.decode()}", v.decode()) for n, v in event.headers]
        rest, _ = self._parser.trailing_data
        self._parser = h11.Connection(h11.SERVER, HEAD_LIMIT)
        if rest:
            self._parser.receive_data(rest)
        return self._upstream.answer(request)


def _request(event: h11.Request) -> StrictRequest:
    fields = [(n.decode(), v.decode("latin-1")) for n, v in event.headers.raw_items()]
    return StrictRequest(event.method.decode(), event.target.decode("latin-1"), fields)


@asynccontextmanager
async def strict_upstream(answer: Answer | None = None) -> AsyncIterator[StrictUpstream]:
    """Listen on a free port, and answer whole requests with what `answer` returns.

    After a 101, whatever comes is sent back.
    """
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await _Connection(upstream).serve(reader, writer)
        finally:
            writer.close()
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = StrictUpstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    if answer is not None:
        upstream.answer = answer
    try:
        yield upstream
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
