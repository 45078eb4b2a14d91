"""As many connections as `listen.max_connections` says, and pipelined requests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from clocks import Clock
from gateway_samples import keyed
from proxying import Sidekey, sidekey
from raw_client import RawClient, message, raw_client
from raw_upstream import OK, Conversation, answering, conversing
from websocket_samples import HANDSHAKE, SWITCHED

from proxy.events import ConnectionsExhausted, Event
from proxy.gateway.capacity import SILENCE, Capacity

THREE = "listen: {port: 0, max_connections: 3}\nstore: {type: memory}\n"


def request(proxy: Sidekey, target: str = "/r/a") -> bytes:
    return message(f"GET {target}", host=f"127.0.0.1:{proxy.port}")


async def served(proxy: Sidekey, client: RawClient) -> bool:
    """Send a request; tell whether it was answered, or the connection closed."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        await client.send(request(proxy))
        return (await client.answer()).status == 200
    return False


@asynccontextmanager
async def clients_of(proxy: Sidekey, count: int) -> AsyncIterator[list[RawClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(raw_client(proxy.port)) for _ in range(count)]


async def test_the_connection_that_is_idle_longest_makes_room(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=THREE) as proxy,
        clients_of(proxy, 3) as (first, second, third),
    ):
        for client in (first, second, third, first):
            assert await served(proxy, client)
        async with raw_client(proxy.port) as fourth:
            assert await served(proxy, fourth)
            assert await second.reader.read() == b""
            for client in (first, third, fourth):
                assert await served(proxy, client)
        assert proxy.told(ConnectionsExhausted) == [ConnectionsExhausted(3)]


async def test_a_connection_that_has_sent_nothing_makes_room_too(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=THREE) as proxy,
        clients_of(proxy, 20) as clients,
    ):
        assert await served(proxy, clients[-1])
        for silent in clients[:17]:
            with contextlib.suppress(ConnectionError):
                assert await silent.reader.read() == b""


async def test_a_new_connection_is_closed_when_none_is_idle(tmp_path: Path) -> None:
    """Two wait for their answers, and one holds a websocket."""
    waiting: list[Conversation] = []
    go = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        head = await peer.request()
        waiting.append(peer)
        if head.field("Upgrade"):
            await peer.send(SWITCHED)
        await go.wait()
        await peer.send(b"hello" if head.field("Upgrade") else OK)
        await peer.request()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=THREE) as proxy,
        clients_of(proxy, 3) as (first, second, socket_),
    ):
        for client in (first, second):
            await client.send(request(proxy) + request(proxy)[:20])
        await socket_.send(message("GET /r/a", *HANDSHAKE, host=f"127.0.0.1:{proxy.port}"))
        await socket_.head()
        while len(waiting) < 3:  # noqa: ASYNC110  the upstream tells nobody
            await asyncio.sleep(0.01)
        for _ in range(3):
            async with raw_client(proxy.port) as late:
                assert not await served(proxy, late)
        assert len(proxy.told(ConnectionsExhausted)) == 1
        go.set()
        assert await socket_.reader.readexactly(5) == b"hello"
        for client in (first, second):
            assert (await client.answer()).status == 200


async def test_heads_that_never_end_make_room_the_oldest_first(tmp_path: Path) -> None:
    """Of connections that have carried a request, too."""
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=THREE) as proxy,
        clients_of(proxy, 3) as (first, second, third),
    ):
        for used in (second, third):
            assert await served(proxy, used)
        await third.send(request(proxy)[:20])
        await first.send(request(proxy)[:20])
        await second.send(request(proxy) + request(proxy)[:20])
        assert (await second.answer()).status == 200
        async with AsyncExitStack() as stack:
            for oldest in (first, third):
                late = await stack.enter_async_context(raw_client(proxy.port))
                assert await served(proxy, late)
                with contextlib.suppress(ConnectionError):
                    assert await oldest.reader.read() == b""
            await second.send(request(proxy)[20:])
            assert (await second.answer()).status == 200


async def test_every_connection_that_ends_gives_its_place_back(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=THREE) as proxy,
    ):
        for _ in range(12):
            async with raw_client(proxy.port) as client:
                assert await served(proxy, client)
            await client.writer.wait_closed()
        async with clients_of(proxy, 3) as clients:
            for client in clients:
                assert await served(proxy, client)


async def test_all_listeners_share_the_places(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        own_port: int = sock.getsockname()[1]
    async with (
        answering() as upstream,
        sidekey(
            tmp_path, keyed(upstream.origin, more=f"port: {own_port}"), beginning=THREE
        ) as proxy,
        clients_of(proxy, 3) as (first, *_),
        raw_client(own_port) as fourth,
    ):
        await fourth.send(message("GET /a", host=f"127.0.0.1:{own_port}"))
        assert (await fourth.answer()).status == 200
        assert await first.reader.read() == b""


class Unconnected(asyncio.Transport):
    """A connection that is only counted."""

    def abort(self) -> None:
        pass


async def test_lack_of_room_is_told_at_most_once_in_10_seconds(clock: Clock) -> None:
    told: list[Event] = []
    capacity = Capacity(1, told.append, clock.monotonic)
    transports = [Unconnected() for _ in range(9)]
    for transport in transports[:4]:
        assert capacity.admit(transport)
    assert len(told) == 1
    clock.move(seconds=SILENCE)
    for transport in transports[4:]:
        assert capacity.admit(transport)
        capacity.work(transport)
        assert not capacity.admit(Unconnected())
        capacity.rest(transport)
    assert len(told) == 2


async def test_100_pipelined_requests_get_100_answers_in_order(tmp_path: Path) -> None:
    async with (
        answering(lambda asked: OK[:-2] + asked.target[-2:].encode()) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(b"".join(request(proxy, f"/r/{number:02}") for number in range(100)))
        answers = [await client.answer() for _ in range(100)]
    assert [answer.content for answer in answers] == [b"%02d" % number for number in range(100)]
    assert [asked.target for asked in upstream.requests] == [f"/{n:02}" for n in range(100)]


async def test_pipelined_requests_are_answered_behind_content_that_came_late(
    tmp_path: Path,
) -> None:
    """aiohttp as of 3.14.5 counts that request for ever, and then stops between these two."""
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        for _ in range(3):
            head = message("POST /r/a", "Content-Length: 3", host=f"127.0.0.1:{proxy.port}")
            await client.send(head)
            await asyncio.sleep(0.05)
            await client.send(b"abc")
            assert (await client.answer()).status == 200
            await client.send(request(proxy, "/r/b") + request(proxy, "/r/c"))
            for _ in range(2):
                assert (await client.answer()).status == 200


async def test_a_switch_to_another_protocol_than_websocket_is_the_last_request(
    tmp_path: Path,
) -> None:
    """aiohttp as of 3.14.5 forgets what it has read behind it: nobody may wait for an answer."""
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        wish = ("Connection: Upgrade", "Upgrade: h2c")
        head = message("GET /r/a", *wish, host=f"127.0.0.1:{proxy.port}")
        await client.send(head + request(proxy, "/r/b"))
        answer = await client.answer()
        assert (answer.status, answer.field("Connection")) == (200, ["close"])
        assert await client.reader.read() == b""
        assert len(upstream.requests) == 1


async def test_pipelined_requests_are_not_read_far_ahead(tmp_path: Path) -> None:
    """Heads of 60 kB, behind a request that waits for its answer."""
    asked = asyncio.Event()

    async def wait(peer: Conversation) -> None:
        await peer.request()
        asked.set()
        await peer.reader.read()

    fields = [f"X{number}: {'v' * 480}" for number in range(120)]
    async with (
        conversing(wait) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        head = message("GET /r/a", *fields, host=f"127.0.0.1:{proxy.port}")
        async with clients_of(proxy, 4) as clients:
            tracemalloc.start()
            try:
                for client in clients:
                    client.writer.write(head * 40)
                await asked.wait()
                await still(clients)
                unsent = sum(client.writer.transport.get_write_buffer_size() for client in clients)
                held = tracemalloc.get_traced_memory()[0] - unsent
            finally:
                tracemalloc.stop()
    assert held < 6 * 2**20


async def still(clients: list[RawClient]) -> None:
    """Wait until nothing more is taken from any client."""
    before = None
    while before != (now := [c.writer.transport.get_write_buffer_size() for c in clients]):
        before = now
        for _ in range(50):
            await asyncio.sleep(0.001)
