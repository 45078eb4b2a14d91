"""Upstreams that speak no TLS or never answer, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from gateway_samples import keyed
from proxying import sidekey
from raw_client import ask, check_problem, message, raw_client

from proxy.events import RequestAborted


async def test_tls_to_a_port_without_it_says_so(tmp_path: Path) -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with (
        served(speak_plainly) as port,
        sidekey(tmp_path, keyed(f"https://127.0.0.1:{port}")) as proxy,
    ):
        answer = await ask(proxy, "GET /r/a")
    check_problem(answer, 502, "upstream-unreachable")
    assert "does not speak TLS" in answer.json()["detail"]


async def test_a_request_that_is_cut_short_leaves_an_event(tmp_path: Path) -> None:
    """The proxy waits for requests under way when it stops, but not for ever."""
    arrived, cut = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        while await reader.read(4096):
            pass
        cut.set()
        writer.close()

    async with (
        served(hang) as port,
        sidekey(tmp_path, keyed(f"http://127.0.0.1:{port}")) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(message("GET /r/a", host=f"127.0.0.1:{proxy.port}"))
        await arrived.wait()
        client.leave()
        await cut.wait()
    [event] = proxy.told(RequestAborted)
    assert (event.upstream, event.path) == ("r", "/r/a")


Conversing = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(converse: Conversing) -> AsyncIterator[int]:
    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
