"""An upstream that echoes the credential: what the client gets of it."""

from __future__ import annotations

import asyncio
import base64
import gzip
from pathlib import Path
from urllib.parse import quote

import pytest
from faulty import CHUNKED, answer_of
from gateway_samples import BEARER, KEY, keyed, tokened
from hostile_fixtures import Attack
from issuing import Issuer
from proxying import sidekey
from raw_client import RawAnswer, ask
from raw_upstream import Conversation, answering, conversing, response

pytestmark = pytest.mark.case("R05")

STARS = "*" * len(KEY)
CONTENT = "redact: content"


async def answer_to(
    tmp_path: Path, answer: bytes, *fields: str, more: str = "", line: str = "GET /r/a"
) -> RawAnswer:
    """Return what the client of one request gets when the upstream says `answer`."""
    async with (
        answering(answer) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        return await ask(proxy, line, *fields)


@pytest.mark.parametrize(
    ("echoed", "received"),
    [
        (f"you sent {BEARER}, {KEY}", f"you sent Bearer {STARS}, {STARS}"),
        (KEY.upper(), STARS),
        (f"/next?key={quote(KEY)}&page=2", f"/next?key={STARS}&page=2"),
    ],
)
@pytest.mark.parametrize("more", ["", CONTENT])
async def test_a_credential_in_a_field_is_masked_with_the_same_length(
    tmp_path: Path, echoed: str, received: str, more: str
) -> None:
    answer = await answer_to(tmp_path, response("200 OK", b"", f"X-Echo: {echoed}"), more=more)
    assert answer.field("X-Echo") == [received]


@pytest.mark.parametrize("name", [f"X-{KEY}", KEY.upper()])
async def test_a_field_whose_name_holds_a_credential_is_dropped(tmp_path: Path, name: str) -> None:
    echo = response("200 OK", b"ok", f"{name}: 1", "X-Echo: other")
    answer = await answer_to(tmp_path, echo)
    assert answer.field("X-Echo") == ["other"]
    assert KEY.encode() not in answer.head.lower()


async def test_a_credential_in_base64_within_a_field_is_masked(tmp_path: Path) -> None:
    echoed = base64.b64encode(f"me:{KEY}".encode()).decode()
    answer = await answer_to(tmp_path, response("200 OK", b"", f"X-Echo: Basic {echoed}"))
    value = answer.field("X-Echo")[0].removeprefix("Basic ")
    assert len(value) == len(echoed)
    assert KEY.encode() not in base64.b64decode(value.replace("*", "A"))


async def test_a_credential_in_the_reason_phrase_is_masked(tmp_path: Path) -> None:
    answer = await answer_to(tmp_path, response(f"403 no {KEY} here", b""))
    assert answer.head.startswith(f"HTTP/1.1 403 no {STARS} here\r\n".encode())


@pytest.mark.parametrize("more", ["", "redact: headers", "redact: off"])
async def test_content_is_not_searched_unless_asked_for(tmp_path: Path, more: str) -> None:
    answer = await answer_to(tmp_path, response("200 OK", KEY.encode(), "Digest: x"), more=more)
    assert answer.content == KEY.encode()
    assert answer.field("Digest") == ["x"]


async def test_the_previous_token_and_the_secret_that_bought_it_are_masked_too(
    tmp_path: Path,
) -> None:
    echo = "X-Echo: canary-token-1, canary-token-2, canary-client-secret, canary-token-3"
    issuer = Issuer(answer=response("200 OK", b"ok", echo))
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
        issuer.revoke()
        answer = await ask(proxy, "GET /r/a")
    assert answer.field("X-Echo") == [f"{'*' * 14}, {'*' * 14}, {'*' * 20}, canary-token-3"]


@pytest.mark.parametrize("more", ["redact: off", "redact: 'off'"])
async def test_nothing_is_searched_where_that_is_off(tmp_path: Path, more: str) -> None:
    answer = await answer_to(tmp_path, response("200 OK", b"", f"X-Echo: {KEY}"), more=more)
    assert answer.field("X-Echo") == [KEY]


async def test_content_is_masked_with_the_same_length(tmp_path: Path) -> None:
    content = f'{{"headers": {{"Authorization": "{BEARER}"}}}}'.encode()
    answer = await answer_to(tmp_path, response("200 OK", content), more=CONTENT)
    assert answer.content == content.replace(KEY.encode(), STARS.encode())
    assert answer.field("Content-Length") == [str(len(content))]


async def test_a_credential_across_three_chunks_is_masked(tmp_path: Path) -> None:
    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (f"it is {KEY[:3]}", KEY[3:7], KEY[7:9], f"{KEY[9:]}."):
            await peer.send(f"{len(part):x}\r\n{part}\r\n".encode())
            await asyncio.sleep(0.01)
        await peer.send(b"0\r\n\r\n")

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=CONTENT)) as proxy,
    ):
        answer = await ask(proxy, "GET /r/a")
    assert answer.content == f"it is {STARS}.".encode()


async def test_an_event_of_a_stream_is_passed_on_before_the_next_one_comes(tmp_path: Path) -> None:
    received = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await peer.send(f"data: {KEY}\n\n".encode())
        await received.wait()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=CONTENT)) as proxy,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(f"GET /r/a HTTP/1.1\r\nHost: {proxy.host}\r\n\r\n".encode())
        await reader.readuntil(f"data: {STARS}\n\n".encode())
        received.set()
        writer.close()


async def test_the_upstream_is_asked_for_whole_and_uncompressed_content(tmp_path: Path) -> None:
    fields = ("Accept-Encoding: gzip, br", "Range: bytes=0-5", 'If-Range: "x"')
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=CONTENT)) as proxy,
    ):
        await ask(proxy, "GET /r/a", *fields)
    assert upstream.last.field("Accept-Encoding") == ["identity"]
    assert upstream.last.field("Range") == upstream.last.field("If-Range") == []


async def test_content_that_is_compressed_all_the_same_is_refused(tmp_path: Path) -> None:
    compressed = response("200 OK", gzip.compress(KEY.encode()), "Content-Encoding: gzip")
    answer = await answer_to(tmp_path, compressed, more=CONTENT)
    assert answer.status == 502
    assert answer.field("Sidekey-Error") == ["upstream-unreachable"]


@pytest.mark.parametrize("coding", ["identity", "Identity"])
async def test_content_that_says_that_it_is_not_compressed_passes(
    tmp_path: Path, coding: str
) -> None:
    answer = await answer_to(
        tmp_path, response("200 OK", b"ok", f"Content-Encoding: {coding}"), more=CONTENT
    )
    assert answer.content == b"ok"


async def test_an_answer_without_content_may_tell_of_a_coding(tmp_path: Path) -> None:
    head = b"HTTP/1.1 304 Not Modified\r\nContent-Encoding: gzip\r\n\r\n"
    answer = await answer_to(tmp_path, head, more=CONTENT)
    assert answer.status == 304


async def test_digests_of_what_may_have_been_changed_are_dropped(tmp_path: Path) -> None:
    fields = ("Content-MD5: x", "Digest: x", "Content-Digest: x", "Repr-Digest: x", 'ETag: "x"')
    answer = await answer_to(tmp_path, response("200 OK", b"ok", *fields), more=CONTENT)
    assert answer.field("ETag") == ['"x"']
    for name in ("Content-MD5", "Digest", "Content-Digest", "Repr-Digest"):
        assert answer.field(name) == []


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_nothing_of_what_a_mirror_shows_is_a_credential(attack: Attack, size: int) -> None:
    """It shows the whole request, plain and encoded, in pieces; the oracles read what arrives."""

    async def converse(peer: Conversation) -> None:
        request = await peer.request()
        seen = request.head + quote(request.head).encode() + base64.b64encode(request.head)
        field = request.line + b" " + request.field("Authorization")[0].encode()
        await peer.send(CHUNKED[:-2] + b"X-Seen: " + field + b"\r\n\r\n")
        for start in range(0, len(seen), size):
            piece = seen[start : start + size]
            await peer.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await peer.send(b"0\r\n\r\n")

    answer = await answer_of(converse, attack, more=CONTENT)
    assert answer.ended
    assert b"*****" in answer.content
    assert "*****" in answer.field("X-Seen")[0]
