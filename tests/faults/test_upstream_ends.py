"""Upstreams and networks that break off: half an answer never looks like a whole one."""

from __future__ import annotations

import gzip

import pytest
from fault_proxy import Faults
from faulty import CHUNKED, HEAD, behind, facing, saying, send
from hostile_fixtures import Attack
from raw_client import RawAnswer, check_problem
from raw_upstream import OK, conversing, response

from proxy.events import RequestAborted

LENGTH = HEAD + b"Content-Length: 10\r\n\r\n"
UNTIL_THE_END = b"HTTP/1.0 200 OK\r\n\r\n"
ANSWERS = {
    "length": (LENGTH, b"0123456789"),
    "chunks": (CHUNKED, b"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"),
    "chunks without the last": (CHUNKED, b"a\r\n0123456789\r\n"),
}


async def cut_answer(attack: Attack, sent: bytes, faults: Faults, head: bytes) -> RawAnswer:
    """Return what a client gets that has the answer's head before the connection breaks."""
    async with (
        facing(attack, behind(faults, saying(sent))) as (hostile, network),
        hostile.connect() as client,
    ):
        await send(client, hostile)
        received = await client.reader.readuntil(b"\r\n\r\n")
        network.may_break.set()
        rest = await client.reader.read()
        assert len(hostile.proxy.told(RequestAborted)) == 1
        return RawAnswer(received, rest, ended=False)


@pytest.mark.case("R09")
@pytest.mark.parametrize("at_limit", ["end", "half-close"])
@pytest.mark.parametrize("passed", [0, 7])
@pytest.mark.parametrize("framing", ANSWERS)
async def test_half_an_answer_never_ends_properly(
    attack: Attack, framing: str, passed: int, at_limit: str
) -> None:
    head, content = ANSWERS[framing]
    faults = Faults(limit=len(head) + passed, at_limit=at_limit)
    answer = await cut_answer(attack, head + content, faults, head)
    check_cut(answer, framing)


@pytest.mark.case("R09")
async def test_a_client_of_http_1_0_sees_half_an_answer_by_a_reset(attack: Attack) -> None:
    """Nothing but the end of the connection tells it where an answer without a length ends."""
    cut = CHUNKED + b"5\r\n01234\r\n"
    async with (
        facing(attack, conversing(saying(cut, stays=False))) as (hostile, _),
        hostile.connect() as client,
    ):
        await client.send(f"GET /r/a HTTP/1.0\r\nHost: {hostile.proxy.host}\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


@pytest.mark.case("R10")
@pytest.mark.parametrize("passed", [0, 7])
@pytest.mark.parametrize("framing", [*ANSWERS, "until the end"])
async def test_a_reset_after_the_head_cuts_the_answer(
    attack: Attack, framing: str, passed: int
) -> None:
    """aiohttp itself takes a reset for the proper end of content that has no length."""
    head, content = ANSWERS.get(framing, (UNTIL_THE_END, b"0123456789"))
    faults = Faults(limit=len(head) + passed)
    check_cut(await cut_answer(attack, head + content, faults, head), framing)


def check_cut(answer: RawAnswer, framing: str) -> None:
    """The client can tell that something is missing."""
    assert answer.status == 200
    if framing == "length":
        assert answer.field("Content-Length") == ["10"]
        assert len(answer.content) < 10
    else:
        assert answer.field("Transfer-Encoding") == ["chunked"]
        assert not answer.content.endswith(b"0\r\n\r\n")


@pytest.mark.case("R10")
@pytest.mark.parametrize("at_limit", ["reset", "end", "half-close"])
@pytest.mark.parametrize("limit", [0, 9, len(LENGTH) - 1])
@pytest.mark.parametrize("line", ["GET /r/a", "POST /r/a"])
async def test_a_connection_that_breaks_before_the_head_is_complete_is_502(
    attack: Attack, line: str, limit: int, at_limit: str
) -> None:
    faults = Faults(limit=limit, at_limit=at_limit)
    upstream = behind(faults, saying(LENGTH + b"0123456789"))
    async with facing(attack, upstream) as (hostile, network):
        network.may_break.set()
        check_problem(await hostile.ask(line), 502, "upstream-unreachable")
        assert network.connections == (1 if line.startswith("POST") else 2)  # RFC 9110 9.2.2


@pytest.mark.case("R10")
async def test_an_upstream_that_refuses_connections_is_502(attack: Attack) -> None:
    async with attack(origin="http://127.0.0.1:1") as hostile:
        answer = await hostile.ask("GET /r/a")
    check_problem(answer, 502, "upstream-unreachable")
    assert "no connection" in answer.json()["detail"]


@pytest.mark.case("R10")
async def test_after_a_reset_the_next_request_is_served(attack: Attack) -> None:
    upstream = behind(Faults(limit=0), saying(OK))
    async with facing(attack, upstream) as (hostile, network):
        network.may_break.set()
        assert (await hostile.ask("POST /r/a")).status == 502
        network.faults = Faults()
        assert (await hostile.ask("GET /r/a")).content == b"ok"


@pytest.mark.case("R08", "R09")
@pytest.mark.parametrize(
    ("index", "status"),
    [(0, 502), (9, 502), (len(CHUNKED), 200), (len(CHUNKED) + 8, 200)],
    ids=["protocol", "status", "size", "end of a chunk"],
)
async def test_a_damaged_byte_of_the_framing_is_noticed(
    attack: Attack, index: int, status: int
) -> None:
    """In pieces of single bytes the head has always left before the damage is seen."""
    content = b"5\r\n01234\r\n0\r\n\r\n"
    faults = Faults(corrupt=index, slices=1, latency=0.001)
    async with facing(attack, behind(faults, saying(CHUNKED + content))) as (hostile, _):
        answer = await hostile.ask("GET /r/a")
    assert answer.status == status
    assert answer.ended == (status == 502)


@pytest.mark.case("R09")
@pytest.mark.parametrize(
    "faults",
    [
        Faults(slices=1),
        Faults(slices=7, latency=0.001, jitter=0.002),
        Faults(slices=100, bandwidth=200_000),
    ],
    ids=["sliced", "late and uneven", "narrow"],
)
async def test_what_is_merely_slow_arrives_whole(attack: Attack, faults: Faults) -> None:
    content = gzip.compress(bytes(range(256)) * 8)
    sent = response("200 OK", content, "Content-Encoding: gzip")
    async with facing(attack, behind(faults, saying(sent))) as (hostile, network):
        answer = await hostile.ask("POST /r/a", content=b"x" * 5000)
        assert (answer.content, answer.ended) == (content, True)
        assert network.requested.endswith(b"\r\n\r\n" + b"x" * 5000)
