"""Clients that take their time: with the head, between requests, with content, and in reading."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import Sidekey, sidekey
from raw_client import RawClient, check_problem, message, raw_client
from raw_upstream import OK, Answer, Conversation, RawUpstream, answering, conversing
from websocket_samples import HANDSHAKE, SWITCHED

from proxy.events import RequestAborted
from proxy.gateway.stall import StallWatch

MIB = 2**20
GENEROUS = {"head": "1m", "idle": "1m", "content": "1m", "send": "1m"}


def timeouts(**short: str) -> str:
    """The beginning of a configuration in which every other timeout is generous."""
    given = ", ".join(f"{name}: {time}" for name, time in (GENEROUS | short).items())
    return f"listen: {{port: 0, timeouts: {{{given}}}}}\nstore: {{type: memory}}\n"


@asynccontextmanager
async def proxied(
    tmp_path: Path, beginning: str, *answers: Answer
) -> AsyncIterator[tuple[RawUpstream, Sidekey, RawClient]]:
    async with (
        answering(*answers) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=beginning) as proxy,
        raw_client(proxy.port) as client,
    ):
        yield upstream, proxy, client


def request(proxy: Sidekey, line: str = "GET /r/a", *fields: str) -> bytes:
    return message(line, *fields, host=f"127.0.0.1:{proxy.port}")


HALF = b"GET /r/a HTTP/1.1\r\nHost: "


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"G", HALF])
async def test_a_first_head_that_is_not_finished_in_time_ends_the_connection(
    tmp_path: Path, sent: bytes
) -> None:
    async with proxied(tmp_path, timeouts(head="200ms")) as (upstream, _, client):
        await client.send(sent)
        assert await client.reader.read() == b""
        assert upstream.connections == 0


async def test_a_later_head_has_the_same_time(tmp_path: Path) -> None:
    async with proxied(tmp_path, timeouts(head="200ms")) as (_, proxy, client):
        for _ in range(2):
            await client.send(request(proxy))
            assert (await client.answer()).status == 200
        await client.send(HALF)
        assert await client.reader.read() == b""


async def test_a_head_that_comes_in_drips_has_no_more_time(tmp_path: Path) -> None:
    async with proxied(tmp_path, timeouts(head="300ms")) as (upstream, _, client):
        ended = asyncio.create_task(client.reader.read())
        with contextlib.suppress(ConnectionError):
            await client.send(HALF)
            while not ended.done():
                await client.send(b"x")
                await asyncio.sleep(0.02)
        with contextlib.suppress(ConnectionError):
            assert await ended == b""
        assert upstream.connections == 0


async def test_a_connection_may_be_idle_longer_than_a_head_may_take(tmp_path: Path) -> None:
    async with proxied(tmp_path, timeouts(head="200ms")) as (_, proxy, client):
        for _ in range(2):
            await client.send(request(proxy))
            assert (await client.answer()).status == 200
            await asyncio.sleep(0.4)
        await client.send(request(proxy))
        assert (await client.answer()).status == 200


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    async with proxied(tmp_path, timeouts(idle="200ms")) as (_, proxy, client):
        await client.send(request(proxy))
        assert (await client.answer()).status == 200
        assert await client.reader.read() == b""


async def test_a_head_behind_a_request_does_not_end_that_request(tmp_path: Path) -> None:
    """The head's time begins when the request before it has its answer."""
    go = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await go.wait()
        await peer.send(OK)
        await peer.request()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=timeouts(head="200ms")) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(request(proxy))
        while upstream.connections == 0:  # noqa: ASYNC110  the upstream tells nobody
            await asyncio.sleep(0.01)
        await client.send(HALF)
        await asyncio.sleep(0.5)
        go.set()
        assert (await client.answer()).status == 200
        assert await client.reader.read() == b""


@pytest.mark.parametrize("content", ["Content-Length: 10", "Transfer-Encoding: chunked"])
async def test_content_that_stops_is_408_and_a_close(tmp_path: Path, content: str) -> None:
    async with proxied(tmp_path, timeouts(content="200ms")) as (upstream, proxy, client):
        await client.send(request(proxy, "POST /r/a", content) + b"3\r\nabc\r\n")
        answer = await client.answer()
        check_problem(answer, 408, "client-too-slow")
        assert answer.field("Connection") == ["close"]
        assert upstream.requests == []


async def test_content_that_a_credential_goes_into_has_the_same_time(tmp_path: Path) -> None:
    more = "inject: {in: body, name: i}"
    async with (
        answering() as upstream,
        sidekey(
            tmp_path, keyed(upstream.origin, more=more), beginning=timeouts(content="200ms")
        ) as proxy,
        raw_client(proxy.port) as client,
    ):
        fields = ("Content-Type: application/json", "Content-Length: 10")
        await client.send(request(proxy, "POST /r/a", *fields) + b'{"a"')
        check_problem(await client.answer(), 408, "client-too-slow")
        assert upstream.connections == 0


async def test_content_in_drips_is_408(tmp_path: Path) -> None:
    async with proxied(tmp_path, timeouts(content="500ms")) as (upstream, proxy, client):
        await client.send(request(proxy, "POST /r/a", "Content-Length: 100000"))
        answered = asyncio.create_task(client.answer())
        while not answered.done():
            await client.send(b"x")
            await asyncio.sleep(0.02)
        check_problem(await answered, 408, "client-too-slow")
        assert upstream.requests == []


async def test_the_time_that_the_upstream_takes_is_not_the_clients(tmp_path: Path) -> None:
    """The client can send nothing while the upstream reads nothing."""

    async def converse(peer: Conversation) -> None:
        head = await peer.head()
        await asyncio.sleep(2)
        assert len(await peer.content(head)) == 32 * MIB
        await peer.send(OK)

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=timeouts(content="1s")) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(request(proxy, "POST /r/a", f"Content-Length: {32 * MIB}"))
        await client.send(b"x" * 32 * MIB)
        assert (await client.answer()).status == 200


async def test_content_that_stops_after_the_answer_began_cuts_the_connection(
    tmp_path: Path,
) -> None:
    async def converse(peer: Conversation) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await peer.reader.read()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=timeouts(content="300ms")) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(request(proxy, "POST /r/a", "Content-Length: 10") + b"abc")
        answer = await client.answer()
        assert (answer.status, answer.content, answer.ended) == (200, b"a", False)
        assert len(proxy.told(RequestAborted)) == 1


def deaf_client(port: int, sent: bytes) -> socket.socket:
    """A client that reads nothing, with as little room in the kernel as can be."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.sendall(sent)
    return sock


STREAM = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB)


@pytest.mark.parametrize("head", [STREAM, SWITCHED], ids=["answer", "websocket"])
async def test_a_client_that_reads_nothing_is_left(tmp_path: Path, head: bytes) -> None:
    left = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        try:
            await peer.send(head)
            for _ in range(64):
                await peer.send(b"x" * MIB)
        except ConnectionError:
            left.set()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=timeouts(send="300ms")) as proxy,
    ):
        fields = HANDSHAKE if head == SWITCHED else ()
        with contextlib.closing(deaf_client(proxy.port, request(proxy, "GET /r/a", *fields))):
            await left.wait()


async def test_an_upstream_that_reads_nothing_from_a_websocket_ends_it(tmp_path: Path) -> None:
    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(SWITCHED)
        peer.writer.transport.pause_reading()
        await asyncio.Event().wait()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=timeouts(send="300ms")) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(request(proxy, "GET /r/a", *HANDSHAKE))
        await client.head()
        with pytest.raises(ConnectionError):
            await client.send(b"x" * 64 * MIB)


async def test_a_client_that_reads_slowly_gets_everything(tmp_path: Path) -> None:
    """Far less than the kernel holds is taken in each `send`."""
    content = b"x" * (16 * MIB)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    received = 0
    async with proxied(tmp_path, timeouts(send="1s"), answer) as (_, proxy, _):
        loop = asyncio.get_running_loop()
        with contextlib.closing(deaf_client(proxy.port, request(proxy))) as sock:
            sock.setblocking(False)
            for _ in range(30):
                received += len(await loop.sock_recv(sock, 10_000))
                await asyncio.sleep(0.1)
            while received < len(answer):
                received += len(await loop.sock_recv(sock, MIB))


PACED = 20 * MIB  # bytes that are taken at a pace, so many times longer than `send`


async def take(reader: asyncio.StreamReader) -> None:
    """Take `PACED` in small pieces, with a rest after each, and then the other half at once."""
    for taken in range(0, 2 * PACED, MIB // 4):
        await reader.readexactly(MIB // 4)
        await asyncio.sleep(0.05 if taken < PACED else 0)


@pytest.mark.parametrize("kind", ["answer", "websocket"])
async def test_a_client_that_reads_steadily_gets_everything(tmp_path: Path, kind: str) -> None:
    """Whenever one looks, the same amount waits: what is taken has been followed by as much."""

    async def converse(peer: Conversation) -> None:
        await peer.request()
        length = b"Content-Length: %d\r\n\r\n" % (2 * PACED)
        await peer.send(SWITCHED if kind == "websocket" else b"HTTP/1.1 200 OK\r\n" + length)
        await peer.send(bytes(2 * PACED))
        await peer.reader.read()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=timeouts(send="1s")) as proxy,
        raw_client(proxy.port) as client,
    ):
        fields = HANDSHAKE if kind == "websocket" else ()
        await client.send(request(proxy, "GET /r/a", *fields))
        await client.head()
        await take(client.reader)


async def test_an_upstream_that_reads_steadily_from_a_websocket_gets_everything(
    tmp_path: Path,
) -> None:
    taken = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(SWITCHED)
        await take(peer.reader)
        taken.set()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=timeouts(send="1s")) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(request(proxy, "GET /r/a", *HANDSHAKE))
        await client.head()
        await client.send(bytes(2 * PACED))
        await taken.wait()


async def test_a_client_that_stops_reading_in_the_middle_is_left(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        try:
            await peer.send(STREAM + bytes(64 * MIB))
        except ConnectionError:
            left.set()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=timeouts(send="1s")) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(request(proxy))
        await client.head()
        await client.reader.readexactly(16 * MIB)
        await left.wait()


async def test_what_is_left_at_the_end_of_an_answer_is_watched_too(tmp_path: Path) -> None:
    """A transport that is told to close would wait for its peer forever."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    transport.write(b"x" * MIB)
    transport.close()
    gave_up = asyncio.Event()
    watch = StallWatch(transport, 0.2, handed=lambda: MIB, give_up=gave_up.set)
    watch.begin()
    await gave_up.wait()
    transport.abort()
    theirs.close()
