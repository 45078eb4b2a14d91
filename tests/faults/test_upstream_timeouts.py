"""Upstreams that take their time: however they do it, `timeouts` holds."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from fault_proxy import Faults, fault_proxy
from faulty import QUICK, answer_of, facing, saying, send
from hostile_fixtures import Attack
from raw_client import check_problem, chunked, raw_client
from raw_upstream import Conversation, conversing, response

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
MIB = 2**20


async def silent(peer: Conversation) -> None:
    await peer.reader.read()


@pytest.mark.case("R21")
@pytest.mark.parametrize("line", ["GET /r/a", "POST /r/a"])
async def test_an_upstream_that_never_answers_is_504(attack: Attack, line: str) -> None:
    check_problem(await answer_of(silent, attack, line, more=QUICK), 504, "upstream-timeout")


@pytest.mark.case("R21")
async def test_an_upstream_that_stops_in_the_middle_of_its_head_is_504(attack: Attack) -> None:
    upstream = saying(b"HTTP/1.1 200 OK\r\nContent-")
    check_problem(await answer_of(upstream, attack, more=QUICK), 504, "upstream-timeout")


@pytest.mark.case("R21")
async def test_a_head_that_comes_in_drips_for_ever_is_504(attack: Attack) -> None:
    """No pause is longer than `timeouts.read`, and yet there is no answer."""

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nX-A: ")
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.05)

    check_problem(await answer_of(converse, attack, more=QUICK), 504, "upstream-timeout")


@pytest.mark.case("R21")
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_an_upstream_that_takes_no_content_is_504(attack: Attack, framing: str) -> None:
    content = b"x" * (16 * MIB)
    fields = ("Transfer-Encoding: chunked",) if framing == "chunks" else ()
    network = fault_proxy(faults=Faults(reads=False))
    async with facing(attack, network, more=QUICK) as (hostile, _):
        sent = chunked(content) if fields else content
        answer = await hostile.ask("POST /r/a", *fields, content=sent)
    check_problem(answer, 504, "upstream-timeout")


@pytest.mark.case("R21")
async def test_an_answer_that_stops_is_cut(attack: Attack) -> None:
    upstream = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    answer = await answer_of(upstream, attack, more=QUICK)
    assert (answer.status, answer.ended) == (200, False)


@pytest.mark.case("R21")
async def test_an_answer_that_begins_early_may_wait_for_a_slow_upload(attack: Attack) -> None:
    """Every pause is shorter than the client may make, and longer than the upstream may."""

    async def converse(peer: Conversation) -> None:
        head = await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        await peer.send(await peer.content(head))
        await silent(peer)

    async with (
        facing(attack, conversing(converse), more=QUICK) as (hostile, _),
        raw_client(hostile.proxy.port) as client,
    ):
        await send(client, hostile, "POST /r/a", "Content-Length: 3")
        await client.head()
        for byte in (b"a", b"b", b"c"):
            await asyncio.sleep(0.3)
            await client.send(byte)
        assert await client.reader.readexactly(3) == b"abc"


@pytest.mark.case("R21")
async def test_the_time_of_an_upstream_rests_while_the_client_reads_nothing(attack: Attack) -> None:
    """Not even the end of the client's own content makes it run."""
    size = 24 * MIB

    async def converse(peer: Conversation) -> None:
        head = await peer.head()
        begun = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        peer.writer.write(begun + b"z" * size)
        await peer.content(head)
        await peer.writer.drain()
        await silent(peer)

    async with (
        facing(attack, conversing(converse), more=QUICK) as (hostile, _),
        raw_client(hostile.proxy.port) as client,
    ):
        await send(client, hostile, "POST /r/a", "Transfer-Encoding: chunked")
        await client.head()
        await asyncio.sleep(0.3)
        await client.send(chunked(b"abc"))
        await asyncio.sleep(0.6)
        assert len(await client.reader.readexactly(size)) == size


@pytest.mark.case("R21")
async def test_a_second_try_has_the_same_time_as_the_first(attack: Attack) -> None:
    """The first connection breaks while it is the client's turn, when no time runs."""
    is_half_sent = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        if not is_half_sent.is_set():
            await peer.head()
            await peer.reader.readexactly(2)
            is_half_sent.set()
            peer.reset()
            return
        await peer.request()
        await peer.send(EARLY)
        await silent(peer)

    async with (
        facing(attack, conversing(converse), more=QUICK) as (hostile, _),
        raw_client(hostile.proxy.port) as client,
    ):
        await send(client, hostile, "PUT /r/a", "Content-Length: 4")
        await client.send(b"ab")
        await is_half_sent.wait()
        await asyncio.sleep(0.05)
        await client.send(b"cd")
        check_problem(await client.answer(), 504, "upstream-timeout")


@pytest.mark.case("R21")
async def test_a_connection_that_never_stands_is_502(attack: Attack) -> None:
    """TLS begins, and nobody answers the greeting."""
    async with (
        conversing(silent) as upstream,
        attack(origin=upstream.origin.replace("http:", "https:"), more={"r": QUICK}) as hostile,
    ):
        check_problem(await hostile.ask("GET /r/a"), 502, "upstream-unreachable")


@pytest.mark.case("R12")
async def test_a_thousand_interim_answers_and_then_nothing_are_504(attack: Attack) -> None:
    """aiohttp's own timeout ends with the first interim answer."""
    answer = await answer_of(saying(EARLY * 1000), attack, more=QUICK)
    check_problem(answer, 504, "upstream-timeout")


@pytest.mark.case("R12")
async def test_interim_answers_for_ever_are_504(attack: Attack) -> None:
    async def converse(peer: Conversation) -> None:
        await peer.request()
        for _ in itertools.count():
            await peer.send(EARLY)
            await asyncio.sleep(0.01)

    check_problem(await answer_of(converse, attack, more=QUICK), 504, "upstream-timeout")


@pytest.mark.case("R13")
@pytest.mark.parametrize("early", [EARLY, b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY, EARLY * 100])
async def test_interim_answers_are_swallowed(attack: Attack, early: bytes) -> None:
    """Their fields too: nothing of them is part of the answer (RFC 9110 15.2)."""
    answer = await answer_of(saying(early + response("200 OK", b"x", "X-A: 1")), attack)
    assert (answer.content, answer.field("X-A"), answer.field("Link")) == (b"x", ["1"], [])
