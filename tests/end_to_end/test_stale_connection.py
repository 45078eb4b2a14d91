"""The upstream closes a connection that the proxy is about to use again."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import sidekey
from raw_client import ask, chunked
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
