"""Answers that never end, and clients that leave in the middle of them."""

from __future__ import annotations

import asyncio

import pytest
from faulty import HEAD, facing, send
from hostile_fixtures import Attack
from raw_client import message
from raw_upstream import Conversation, conversing

EVENTS = HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def framed(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


@pytest.mark.case("R20")
async def test_an_event_arrives_before_the_next_one_is_written(attack: Attack) -> None:
    """The upstream writes an event only after the client has seen the one before."""
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(EVENTS)
        for event in (b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"):
            await peer.send(framed(event))
            assert await seen.get() == event
        await peer.send(b"0\r\n\r\n")

    async with (
        facing(attack, conversing(converse)) as (hostile, _),
        hostile.connect() as client,
    ):
        await send(client, hostile)
        assert b"Content-Type: text/event-stream\r\n" in await client.head()
        for _ in range(3):
            seen.put_nowait(await client.chunk())
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@pytest.mark.case("R20")
@pytest.mark.parametrize("events", [0, 1])
async def test_when_the_client_leaves_the_upstreams_connection_ends(
    attack: Attack, events: int
) -> None:
    has_ended = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(EVENTS + framed(b"data: 1\n\n") * events)
        assert await peer.reader.read() == b""
        has_ended.set()

    async with facing(attack, conversing(converse)) as (hostile, _):
        async with hostile.connect() as client:
            await send(client, hostile)
            await client.head()
            client.leave()
        await has_ended.wait()


@pytest.mark.case("R20")
async def test_when_the_client_leaves_while_events_come_the_upstreams_connection_ends(
    attack: Attack,
) -> None:
    """The upstream does not listen: it notices when it cannot write any more."""
    has_ended = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(EVENTS)
        try:
            while True:
                await peer.send(framed(b"data: 1\n\n"))
                await asyncio.sleep(0.01)
        except ConnectionError:
            has_ended.set()

    async with facing(attack, conversing(converse)) as (hostile, _):
        async with hostile.connect() as client:
            await send(client, hostile)
            await client.head()
            client.leave()
        await has_ended.wait()


@pytest.mark.case("R20", "R21")
async def test_when_the_client_leaves_before_any_answer_the_upstreams_connection_ends(
    attack: Attack,
) -> None:
    has_arrived, has_ended = asyncio.Event(), asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.head()
        has_arrived.set()
        await peer.reader.read()
        has_ended.set()

    async with facing(attack, conversing(converse)) as (hostile, _):
        async with hostile.connect() as client:
            host = hostile.proxy.host
            await client.send(message("POST /r/a", "Content-Length: 9", content=b"x", host=host))
            await has_arrived.wait()
            client.leave()
        await has_ended.wait()
