"""The upstream closes a connection that the proxy is about to use again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from pathlib import Path

import pytest
from gateway_samples import KEY, keyed
from proxying import sidekey
from raw_client import ask, chunked, message, raw_client
from raw_upstream import OK, Conversation, conversing


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("size", [6, 100_000, 2_000_000])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
async def test_content_arrives_whole_or_not_at_all(
    tmp_path: Path, method: str, size: int, framing: str
) -> None:
    """aiohttp sends idempotent requests again by itself, with whatever content is left then."""
    contents: list[bytes] = []
    cut: list[bool] = []

    async def converse(peer: Conversation) -> None:
        while True:
            head = await peer.head()
            if head.target == "/up" and not cut:
                cut.append(True)
                await peer.reader.read(1)
                peer.reset()
                return
            contents.append(await peer.content(head))
            await peer.send(OK)

    content = b"x" * size
    async with conversing(converse) as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(proxy, "GET /r/first")
        if framing == "length":
            answer = await ask(proxy, f"{method} /r/up", content=content)
        else:
            field = "Transfer-Encoding: chunked"
            answer = await ask(proxy, f"{method} /r/up", field, content=chunked(content))
    assert contents[1:] in ([], [content])
    assert answer.status == (200 if contents[1:] else 502)


@pytest.mark.parametrize("pause", [0, 0.1])
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("before", [0, 50_000, 300_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_content_that_still_comes_when_the_connection_ends_is_never_sent_in_part(
    tmp_path: Path, method: str, framing: str, before: int, end: str, pause: float
) -> None:
    """The client has sent the bytes `before`, and sends the rest `pause` seconds afterwards."""
    contents: list[bytes] = []
    cut = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        while True:
            head = await peer.head()
            if head.target == "/up" and not cut.is_set():
                await peer.reader.readexactly(before)
                cut.set()
                return peer.reset() if end == "reset" else None
            contents.append(await peer.content(head))
            await peer.send(OK)

    content = random.Random(before).randbytes(600_000)
    field = f"Content-Length: {len(content)}"
    pieces = content[:before], content[before:]
    if framing == "chunks":
        field = "Transfer-Encoding: chunked"
        pieces = b"%x\r\n" % before + pieces[0] + b"\r\n" if before else b"", chunked(pieces[1])
    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(message("GET /r/first", host=proxy.host))
        await client.answer()
        await client.send(message(f"{method} /r/up", field, host=proxy.host) + pieces[0])
        await cut.wait()
        await asyncio.sleep(pause)
        with contextlib.suppress(ConnectionError):  # there is an answer already
            await client.send(pieces[1])
        answer = await client.answer()
    assert contents[1:] in ([], [content])
    assert answer.status == (200 if contents[1:] else 502)


@pytest.mark.parametrize("read", [1, 100_000])
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_content_that_holds_the_credential_is_never_sent_in_part(
    tmp_path: Path, method: str, read: int
) -> None:
    """It was read as a whole, so it could be sent again from where the first sending ended."""
    contents: list[bytes] = []
    cut: list[bytes] = []

    async def converse(peer: Conversation) -> None:
        while True:
            head = await peer.head()
            if head.target == "/up" and not cut:
                cut.append(await peer.reader.readexactly(read))
                peer.reset()
                return
            contents.append(await peer.content(head))
            await peer.send(OK)

    sent = {"a": "x" * 600_000}
    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more="inject: {in: body, name: i}")) as proxy,
    ):
        content, field = json.dumps(sent).encode(), "Content-Type: application/json"
        assert (await ask(proxy, "POST /r/first", field, content=b"{}")).status == 200
        answer = await ask(proxy, f"{method} /r/up", field, content=content)
    assert [json.loads(arrived) for arrived in contents[1:]] in ([], [{**sent, "i": KEY}])
    assert answer.status == (200 if contents[1:] else 502)


async def test_a_get_is_sent_again(tmp_path: Path) -> None:
    heads: list[str] = []

    async def converse(peer: Conversation) -> None:
        while True:
            heads.append((await peer.head()).target)
            if heads == ["/first", "/a"]:
                peer.reset()
                return
            await peer.send(OK)

    async with conversing(converse) as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(proxy, "GET /r/first")
        assert (await ask(proxy, "GET /r/a")).status == 200
    assert heads == ["/first", "/a", "/a"]
