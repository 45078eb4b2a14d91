"""Messages that aiohttp refuses, in our words; ends of messages that deceive nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import Sidekey, sidekey
from raw_client import ask, ask_raw, message, raw_client
from raw_upstream import Conversation, answering, conversing, response

from proxy.events import RequestAborted
from proxy.gateway.parser import FIELD_LIMIT, HEAD_LIMIT, LINE_LIMIT


def host(proxy: Sidekey) -> str:
    return f"127.0.0.1:{proxy.port}"


LONG = "x" * 30_000


@pytest.mark.parametrize(
    ("line", "fields", "status", "slug"),
    [
        ("GET /r/" + "a" * LINE_LIMIT, [], 414, "target-too-long"),
        ("GET /r/a", ["X: " + "a" * (FIELD_LIMIT + 1)], 431, "bad-message"),
        ("GET /r/a", ["x" * (FIELD_LIMIT + 1) + ": a"], 431, "bad-message"),
        ("GET /r/a", ["X: 1"] * 128, 431, "bad-message"),
        ("GET /r/a", [f"X: {LONG}"] * 3, 431, "bad-message"),
        ("GET /r/a", ["X : 1"], 400, "bad-message"),
        ("GET /r/a", ["X: a\x00b"], 400, "bad-message"),
        ("GREET /r/a", [], 400, "bad-message"),
    ],
    ids=["line", "value", "name", "fields", "head", "space", "NUL", "method"],
)
async def test_what_aiohttp_refuses_is_a_problem_and_a_close(
    tmp_path: Path, line: str, fields: list[str], status: int, slug: str
) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(message(line, *fields, host=host(proxy)))
        answer = await client.answer()
        assert (answer.status, answer.json()["status"]) == (status, status)
        assert answer.field("Sidekey-Error") == [slug]
        assert b"aaaa" not in answer.content
        assert b"xxxx" not in answer.content
        assert await client.reader.read() == b""
        assert upstream.connections == 0


async def test_what_is_just_within_the_limits_passes(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        for fields in (["X: 1"] * 127, [f"X: {LONG}"] * 2, ["X: " + "a" * (FIELD_LIMIT - 1)]):
            assert (await ask(proxy, "GET /r/a", *fields)).status == 200


async def test_a_head_is_counted_whatever_pieces_it_comes_in(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(message("GET /r/a", host=host(proxy)))
        assert (await client.answer()).status == 200
        head = message("GET /r/a", *[f"X: {LONG}"] * 3, host=host(proxy))
        for at in range(0, HEAD_LIMIT + 1000, 1000):
            await client.send(head[at : at + 1000])
            await asyncio.sleep(0)
        assert (await client.answer()).status == 431
        assert len(upstream.requests) == 1


async def test_content_does_not_count_as_head(tmp_path: Path) -> None:
    content = b"x" * (5 * HEAD_LIMIT)
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        fields = (f"X: {LONG}", f"Content-Length: {len(content)}")
        for _ in range(3):
            await client.send(message("POST /r/a", *fields, content=content, host=host(proxy)))
            assert (await client.answer()).status == 200
    assert [request.content for request in upstream.requests] == [content] * 3


MALFORMED = {
    "space": (b"GET /r/a HTTP/1.1\r\nHost: %s\r\nX : 1\r\n\r\n", 400),
    "hosts": (b"GET /r/a HTTP/1.1\r\nHost: %s\r\nHost: %s\r\n\r\n", 400),
    "coding": (
        b"POST /r/a HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "chunks in 1.0": (
        b"POST /r/a HTTP/1.0\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "expectation": (b"GET /r/a HTTP/1.1\r\nHost: %s\r\nExpect: miracles\r\n\r\n", 417),
    "version": (b"GET /r/a HTTP/2.0\r\nHost: %s\r\nConnection: keep-alive\r\n\r\n", 505),
}


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("at_once", [True, False])
async def test_nothing_behind_a_malformed_message_is_a_request(
    tmp_path: Path, kind: str, at_once: bool
) -> None:
    first, status = MALFORMED[kind]
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        smuggled = message("GET /r/smuggled", host=host(proxy))
        await client.send(first.replace(b"%s", host(proxy).encode()) + smuggled * at_once)
        answer = await client.answer()
        assert (answer.status, answer.field("Sidekey-Error")) == (status, ["bad-message"])
        if not at_once:
            await client.send(smuggled)
        assert await client.reader.read() == b""
        assert upstream.connections == 0


@pytest.mark.parametrize("rest", [b"", b"garbage\r\n\r\n", b"GET /r/b HTTP/1.1\r\n"])
async def test_what_is_longer_than_its_length_is_never_a_part_of_the_content(
    tmp_path: Path, rest: bytes
) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        sent = message("POST /r/a", "Content-Length: 3", content=b"abc" + rest, host=host(proxy))
        answer = await ask_raw(proxy, sent)
    assert answer.status in (200, 400)
    assert [request.content for request in upstream.requests] in ([], [b"abc"])
    assert upstream.requests or rest


async def test_what_follows_the_length_is_the_next_request(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        one = message("POST /r/a", "Content-Length: 3", content=b"abc", host=host(proxy))
        two = message("POST /r/b", "Content-Length: 2", content=b"de", host=host(proxy))
        await client.send(one + two)
        assert [(await client.answer()).status, (await client.answer()).status] == [200, 200]
    assert [(asked.target, asked.content) for asked in upstream.requests] == [
        ("/a", b"abc"),
        ("/b", b"de"),
    ]


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
async def test_content_that_is_too_short_never_ends_properly_and_is_not_sent_again(
    tmp_path: Path, framing: str
) -> None:
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def converse(peer: Conversation) -> None:
        await peer.head()
        ended.set_result(await peer.reader.read())

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(message("POST /r/a", framing, host=host(proxy)) + b"3\r\nabc\r\n")
        while upstream.connections == 0:  # noqa: ASYNC110  the upstream tells nobody
            await asyncio.sleep(0.01)
        client.writer.write_eof()
        arrived = await ended
        assert await client.reader.read() == b""
        assert len(proxy.told(RequestAborted)) == 1
    assert not arrived.endswith(b"0\r\n\r\n")
    assert len(arrived) < 10
    assert upstream.connections == 1


async def test_an_answer_before_the_content_reaches_the_client_and_ends_the_connection(
    tmp_path: Path,
) -> None:
    """The content may never come, or be taken for the next request."""
    refusal = response("413 Content Too Large", b"no")

    async def converse(peer: Conversation) -> None:
        await peer.head()
        await peer.send(refusal)
        await peer.reader.read()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        fields = ("Content-Length: 1000",)
        await client.send(message("POST /r/a", *fields, host=host(proxy)) + b"x")
        answer = await client.answer()
        assert (answer.status, answer.content) == (413, b"no")
        assert answer.field("Connection") == ["close"]
        await client.send(b"x" * 999)
        assert await client.reader.read() == b""
        assert upstream.connections == 1


async def test_the_upstreams_answer_does_not_wait_for_the_content_either(tmp_path: Path) -> None:
    async def converse(peer: Conversation) -> None:
        await peer.head()
        await peer.send(response("403 Forbidden", b"no"))
        await peer.reader.read()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        fields = ("Expect: 100-continue", "Content-Length: 1000")
        await client.send(message("POST /r/a", *fields, host=host(proxy)))
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        answer = await client.answer()
        assert (answer.status, answer.field("Connection")) == (403, ["close"])


@pytest.mark.parametrize("limits", ["{rate: 1/h}", "{concurrency: 1}", "{content: 2}"])
async def test_a_request_over_a_limit_gets_no_100(tmp_path: Path, limits: str) -> None:
    async def converse(peer: Conversation) -> None:
        await peer.request()
        await asyncio.Event().wait()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=f"limits: {limits}")) as proxy,
        raw_client(proxy.port) as first,
        raw_client(proxy.port) as client,
    ):
        await first.send(message("GET /r/a", host=host(proxy)))
        while upstream.connections == 0:  # noqa: ASYNC110  the upstream tells nobody
            await asyncio.sleep(0.01)
        fields = ("Expect: 100-continue", "Content-Length: 3")
        await client.send(message("POST /r/a", *fields, host=host(proxy)))
        assert (await client.answer()).status in (413, 429, 503)
        assert upstream.connections == 1


async def test_content_may_speak_of_another_protocol(tmp_path: Path) -> None:
    content = b"DESCRIBE rtsp://camera/1 RTSP/1.0\r\nCSeq: 1\r\n"
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        assert (await ask(proxy, "POST /r/a", content=content)).status == 200
        assert upstream.last.content == content


async def test_a_client_of_http_1_0_gets_no_interim_answer(tmp_path: Path) -> None:
    """It would take it for its answer (RFC 9110 10.1.1)."""
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        wish = ("Content-Length: 3", "Expect: 100-continue")
        head = message("POST /r/a", *wish, host=host(proxy)).replace(b"HTTP/1.1", b"HTTP/1.0")
        await client.send(head)
        await asyncio.sleep(0.05)
        await client.send(b"abc")
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("trailer", ["X-Trailer: a", "X-Trailer: " + "0" * 90])
async def test_a_request_with_trailers_is_the_last_one(
    tmp_path: Path, trailer: str, pieces: int
) -> None:
    """aiohttp as of 3.14.5 takes the last trailer for the first field of the next request."""
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        head = message("POST /r/a", "Transfer-Encoding: chunked", host=host(proxy))
        whole = head + f"1\r\na\r\n0\r\n{trailer}\r\n\r\n".encode()
        if pieces == 1:
            await client.send(whole + message("GET /r/b", host=host(proxy)))
        else:
            size = -(-len(whole) // pieces)
            for start in range(0, len(whole), size):
                await client.send(whole[start : start + size])
                await asyncio.sleep(0.05)
        assert (await client.answer()).status == 200
        assert await client.reader.read() == b""
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("pieces", [1, 2, 3, 7])
async def test_a_connection_goes_on_behind_chunks(tmp_path: Path, pieces: int) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        for content in (b"", b"1\r\na\r\n", b"5\r\n\r\n0\r\n\r\n" * 20):
            head = message("POST /r/a", "Transfer-Encoding: chunked", host=host(proxy))
            whole = head + content + b"000;a=b\r\n\r\n"
            size = -(-len(whole) // pieces)
            for start in range(0, len(whole), size):
                await client.send(whole[start : start + size])
                await asyncio.sleep(0.01)
            assert (await client.answer()).status == 200
        assert len(upstream.requests) == 3
