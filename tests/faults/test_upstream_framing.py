"""Answers of which nobody can say what they mean, where they end or to whom they belong."""

from __future__ import annotations

import asyncio

import pytest
from faulty import CHUNKED, HEAD, answer_of, facing, saying, send
from hostile_fixtures import Attack
from raw_client import RawAnswer, check_problem
from raw_upstream import OK, Conversation, conversing, response

POISON = response("200 OK", b"poison")
BEYOND = b"X-Long: " + b"x" * 70_000


def check_unreachable(answer: RawAnswer) -> None:
    """One whole answer of ours, in our own words."""
    check_problem(answer, 502, "upstream-unreachable")
    assert answer.ended
    assert answer.json()["detail"] == "the upstream: its answer is no proper HTTP"


@pytest.mark.case("R08")
@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 2\r\nContent-Length: 2",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: 2, 2",
        b"Content-Length: +2",
        b"Content-Length: -2",
        b"Content-Length: 0x2",
        b"Content-Length: 2_0",
        b"Content-Length: 99999999999999999999",
        b"Content-Length:",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding:",
    ],
)
async def test_ambiguous_framing_is_502(attack: Attack, fields: bytes) -> None:
    content = b"2\r\nok\r\n0\r\n\r\n" if b"chunked" in fields else b"ok"
    upstream = saying(HEAD + fields + b"\r\n\r\n" + content, stays=False)
    check_unreachable(await answer_of(upstream, attack))


@pytest.mark.case("R08")
async def test_chunks_in_http_1_0_are_502(attack: Attack) -> None:
    """RFC 9112 6.1: such a message came through somebody who does not know what chunks are."""
    upstream = saying(CHUNKED.replace(b"/1.1", b"/1.0") + b"2\r\nok\r\n0\r\n\r\n", stays=False)
    check_unreachable(await answer_of(upstream, attack))


BROKEN_CHUNKS = [
    b"zz\r\nok\r\n0\r\n\r\n",
    b"0x2\r\nok\r\n0\r\n\r\n",
    b"-2\r\nok\r\n0\r\n\r\n",
    b"2\nok\n0\n\n",
    b"2\r\nokXX0\r\n\r\n",
    b"11111111111111111\r\nok\r\n",
]


@pytest.mark.case("R08")
@pytest.mark.parametrize("chunks", BROKEN_CHUNKS)
async def test_a_broken_chunk_is_502(attack: Attack, chunks: bytes) -> None:
    check_unreachable(await answer_of(saying(CHUNKED + chunks), attack))


@pytest.mark.case("R08", "R09")
@pytest.mark.parametrize("chunks", BROKEN_CHUNKS)
async def test_a_broken_chunk_after_the_first_cuts_the_answer_and_nobody_waits(
    attack: Attack, chunks: bytes
) -> None:
    """aiohttp itself forgets to tell the one who reads the content."""
    has_arrived = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"5\r\nfirst\r\n")
        await has_arrived.wait()
        await peer.send(chunks)
        await peer.reader.read()

    async with (
        facing(attack, conversing(converse)) as (hostile, _),
        hostile.connect() as client,
    ):
        await send(client, hostile)
        await client.head()
        assert await client.chunk() == b"first"
        has_arrived.set()
        assert not (await client.reader.read()).endswith(b"0\r\n\r\n")


@pytest.mark.case("R11")
async def test_an_unasked_switch_of_protocols_is_502(attack: Attack) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    check_problem(await answer_of(saying(switch), attack), 502, "upstream-unreachable")


@pytest.mark.case("R11")
@pytest.mark.parametrize(
    "fields", [b"", b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n"], ids=str
)
async def test_half_a_switch_of_protocols_is_502(attack: Attack, fields: bytes) -> None:
    """Its connection would count as free, and carry the next client's answer to this one."""
    switch = b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n"
    handshake = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    async with facing(attack, conversing(saying(switch))) as (hostile, _):
        check_unreachable(await hostile.ask("GET /r/a", *handshake))


@pytest.mark.case("R08")
@pytest.mark.parametrize(
    "name", [b"Content-Length", b"Transfer-Encoding", b"Set-Cookie", b"Connection", b"X A"]
)
async def test_a_space_in_the_name_of_a_field_is_502(attack: Attack, name: bytes) -> None:
    """aiohttp takes it for another field, and others for the one without it (RFC 9112 5.1)."""
    sent = HEAD + name + b" : 2\r\nContent-Length: 2\r\n\r\nok"
    check_unreachable(await answer_of(saying(sent), attack))


@pytest.mark.case("R14")
@pytest.mark.parametrize("status", ["000", "099", "600", "999", "1000", "20", "-20", "2x0", ""])
async def test_a_status_that_is_none_is_502(attack: Attack, status: str) -> None:
    answer = f"HTTP/1.1 {status} OK\r\nContent-Length: 2\r\n\r\nok".encode()
    check_unreachable(await answer_of(saying(answer), attack))


@pytest.mark.case("R14")
@pytest.mark.parametrize(
    "version", ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/2", "ICY", "http/1.1"]
)
async def test_another_protocol_is_502(attack: Attack, version: str) -> None:
    answer = f"{version} 200 OK\r\nContent-Length: 2\r\n\r\nok".encode()
    check_unreachable(await answer_of(saying(answer), attack))


@pytest.mark.case("R06", "R08")
@pytest.mark.parametrize("line", ["GET /r/a?q=canary-query", "POST /q/a?q=canary-query"])
@pytest.mark.parametrize(
    "answer",
    [
        b"canary-nonsense\r\n\r\n",
        b"HTTP/1.1 canary-status\r\n\r\n",
        HEAD + b"no colon canary-name\r\n\r\n",
        HEAD + b"canary-name : x\r\n\r\n",
        HEAD + b"X-A: canary-value\x00\r\n\r\n",
        HEAD + b"X-Long: canary-" + b"x" * 100_000 + b"\r\n\r\n",
        CHUNKED + b"canary-size\r\n",
        b"HTTP/1.1 200 canary-",
    ],
)
async def test_our_words_of_it_quote_neither_the_answer_nor_the_url(
    attack: Attack, line: str, answer: bytes
) -> None:
    """aiohttp's own errors quote both, and the URL of `q` holds the key; the oracles look."""
    got = await answer_of(saying(answer, stays=False), attack, line)
    assert (got.status, got.field("Sidekey-Error")) == (502, ["upstream-unreachable"])


@pytest.mark.case("R16")
@pytest.mark.parametrize(
    "fields",
    [b"".join(b"X-%d: 1\r\n" % number for number in range(300)), BEYOND + b"\r\n"],
    ids=["300", "70 kB"],
)
async def test_too_many_or_too_long_fields_are_502(attack: Attack, fields: bytes) -> None:
    answer = HEAD + fields + b"Content-Length: 2\r\n\r\nok"
    check_unreachable(await answer_of(saying(answer), attack))


@pytest.mark.case("R16")
async def test_a_field_as_long_as_a_token_passes(attack: Attack) -> None:
    answer = HEAD + b"X-Token: " + b"x" * 20_000 + b"\r\nContent-Length: 2\r\n\r\nok"
    got = await answer_of(saying(answer), attack)
    assert (got.status, got.field("X-Token")) == (200, ["x" * 20_000])


@pytest.mark.case("R15")
@pytest.mark.parametrize(
    "framing", ["Content-Length: 1234\r\n", "", "Transfer-Encoding: chunked\r\n"]
)
async def test_an_answer_to_head_has_no_content_and_keeps_its_length(
    attack: Attack, framing: str
) -> None:
    sent = HEAD + framing.encode() + b"\r\n"
    async with (
        facing(attack, conversing(saying(sent))) as (hostile, _),
        hostile.connect() as client,
    ):
        await send(client, hostile, "HEAD /r/a")
        answer = await client.answer("HEAD")
        assert answer.field("Content-Length") == (["1234"] if "1234" in framing else [])
        await send(client, hostile, "HEAD /r/a")  # nothing of the first answer is left over
        assert (await client.answer("HEAD")).head == answer.head


@pytest.mark.case("R15")
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_answers_without_content_leave_the_connection_usable(
    attack: Attack, status: str
) -> None:
    async with (
        facing(attack, conversing(saying(f"HTTP/1.1 {status}\r\nX-A: 1\r\n\r\n".encode()))) as (
            hostile,
            upstream,
        ),
        hostile.connect() as client,
    ):
        for _ in range(2):
            await send(client, hostile)
            answer = await client.answer()
            assert answer.line == f"HTTP/1.1 {status}"
            assert answer.field("Content-Length") == answer.field("Transfer-Encoding") == []
        assert upstream.connections == 1


@pytest.mark.case("R15")
async def test_content_where_there_must_be_none_is_502(attack: Attack) -> None:
    answer = b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"
    check_unreachable(await answer_of(saying(answer), attack))


@pytest.mark.case("R17")
@pytest.mark.parametrize(
    "pieces",
    [
        (OK + POISON,),
        (OK[:-1], OK[-1:] + POISON),
        (OK, POISON),
        (OK, b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK, b"garbage\r\n"),
        (OK, b"HTTP/1.1 200 OK\r\nContent-Le"),
    ],
    ids=["at once", "with the end", "later", "an interim answer", "garbage", "a beginning"],
)
async def test_bytes_behind_an_answer_reach_no_other_client(
    attack: Attack, pieces: tuple[bytes, ...]
) -> None:
    """aiohttp itself takes them for the answer to the next request, and is one off ever after."""
    spoilt = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        while True:
            request = await peer.request()
            if spoilt.is_set():
                await peer.send(response("200 OK", request.target.encode()))
                continue
            for piece in pieces:
                await peer.send(piece)
                await asyncio.sleep(0.02)  # pieces have to come one by one
            spoilt.set()

    async with facing(attack, conversing(converse)) as (hostile, _):
        assert (await hostile.ask("GET /r/first")).content == b"ok"
        await spoilt.wait()
        for target in ("/a", "/b", "/c"):
            answer = await hostile.ask(f"GET /r{target}")
            assert answer.content == b"/base/v1" + target.encode()


@pytest.mark.case("R17")
async def test_a_connection_with_bytes_left_over_is_not_used_again(attack: Attack) -> None:
    async with facing(attack, conversing(saying(OK + POISON))) as (hostile, upstream):
        contents = [(await hostile.ask("GET /r/a")).content for _ in range(3)]
        assert contents == [b"ok"] * 3
        assert upstream.connections == 3


@pytest.mark.case("R23")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_content_that_ends_with_its_connection_ends_properly(
    attack: Attack, version: str
) -> None:
    upstream = saying(f"HTTP/{version} 200 OK\r\n\r\nhello".encode(), stays=False)
    answer = await answer_of(upstream, attack)
    assert (answer.content, answer.ended) == (b"hello", True)
    assert answer.line.startswith("HTTP/1.1 200")
    assert answer.field("Transfer-Encoding") == ["chunked"]


@pytest.mark.case("R23")
async def test_http_1_0_with_a_length_passes(attack: Attack) -> None:
    upstream = saying(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", stays=False)
    answer = await answer_of(upstream, attack)
    assert (answer.content, answer.field("Content-Length")) == (b"hello", ["5"])
