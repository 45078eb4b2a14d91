"""A TCP proxy that does to an upstream's answers what bad networks and dying servers do."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

SEED = 1  # of jitter: every run of a test waits for the same times
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, and drop what was not sent


@dataclass(frozen=True)
class Faults:
    """What happens to the bytes of a connection; by default nothing.

    Except for `black_hole` and `reads`, all of it concerns the bytes of answers.
    """

    latency: float = 0.0  # seconds before each piece
    jitter: float = 0.0  # seconds at most that are added to the latency
    bandwidth: int | None = None  # bytes a second
    slices: int = 65536  # bytes of a piece at most
    corrupt: int | None = None  # index of the byte of which all bits are flipped
    limit: int | None = None  # bytes that pass until `at_limit` happens
    at_limit: Literal["reset", "end", "half-close"] = "reset"  # RST, FIN, FIN but still reading
    black_hole: bool = False  # takes requests, hands on none of them
    reads: bool = True  # if not, connections are accepted and never read


@dataclass
class FaultProxy:
    """Where it listens, and what it has seen.

    At the limit of `faults` it waits for `may_break`, so that a test can wait for what came before:
    a reset takes back what the receiver has not read yet.
    """

    origin: str
    upstream_port: int
    faults: Faults
    connections: int = 0
    requested: bytearray = field(default_factory=bytearray)
    may_break: asyncio.Event = field(default_factory=asyncio.Event)
    _connected: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def has_connections(self, count: int) -> None:
        """Wait until so many connections have been made."""
        async with self._connected:
            await self._connected.wait_for(lambda: self.connections >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client until either side has ended."""
        async with self._connected:
            self.connections += 1
            self._connected.notify_all()
        faults = self.faults
        if not faults.reads:
            writer.transport.pause_reading()
            await asyncio.Event().wait()
        if faults.black_hole:
            while piece := await reader.read(65536):
                self.requested += piece
            return
        answers, requests = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        try:
            sending = asyncio.create_task(self._hand_on_requests(reader, requests))
            try:
                await self._hand_on_answers(answers, writer, faults)
                if faults.limit is not None and faults.at_limit == "half-close":
                    await sending
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        finally:
            requests.transport.abort()

    async def _hand_on_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while piece := await reader.read(65536):
            self.requested += piece
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def _hand_on_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faults: Faults
    ) -> None:
        delays = random.Random(SEED)
        passed = 0
        while piece := await reader.read(faults.slices):
            await asyncio.sleep(faults.latency + delays.uniform(0, faults.jitter))
            piece = _corrupted(piece, passed, faults.corrupt)
            if faults.limit is not None:
                piece = piece[: faults.limit - passed]
            writer.write(piece)
            await writer.drain()
            passed += len(piece)
            if faults.bandwidth is not None:
                await asyncio.sleep(len(piece) / faults.bandwidth)
            if passed == faults.limit:
                await self.may_break.wait()
                _end(writer, faults.at_limit)
                return


def _corrupted(piece: bytes, offset: int, index: int | None) -> bytes:
    if index is None or not offset <= index < offset + len(piece):
        return piece
    at = index - offset
    return piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :]


def _end(writer: asyncio.StreamWriter, how: Literal["reset", "end", "half-close"]) -> None:
    if how == "half-close":
        writer.write_eof()
        return
    if how == "reset":
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.close()


@asynccontextmanager
async def fault_proxy(
    origin: str = "http://127.0.0.1:1", faults: Faults | None = None
) -> AsyncIterator[FaultProxy]:
    """Listen in front of the upstream at `origin`; `faults` may be replaced between connections."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await proxy.serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            writer.close()
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy = FaultProxy(
        f"http://127.0.0.1:{port}", int(origin.rpartition(":")[2]), faults or Faults()
    )
    try:
        yield proxy
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
