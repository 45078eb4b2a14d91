"""Connections to an upstream that are kept: only those on which nothing is left of an exchange."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gateway_samples import keyed
from lane_fixtures import GOOD, JSON, request, warm
from proxying import sidekey
from raw_client import raw_client
from raw_upstream import OK, Conversation, conversing, response

PART = b"HTTP/1.1 200 OK\r\nX-Pad: aaaa\r\n"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


@pytest.mark.parametrize("is_fast", [False, True])
@pytest.mark.parametrize("later", [False, True])
async def test_a_connection_with_the_beginning_of_another_answer_is_not_used(
    tmp_path: Path, is_fast: bool, later: bool
) -> None:
    """Its rest would be read as the next client's answer."""

    async def converse(peer: Conversation) -> None:
        asked = await peer.request()
        while asked.line.startswith(b"GET /a"):
            await peer.send(GOOD)
            asked = await peer.request()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"  # to HEAD: no content follows
        if later:
            await peer.send(head)
            await asyncio.sleep(0.05)
            await peer.send(PART)
        else:
            await peer.send(head + PART)  # but it does
        await peer.request()
        await peer.send(POISON)

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=is_fast) as proxy,
        raw_client(proxy.place) as client,
    ):
        await warm(client, proxy, times=3)
        await client.send(request(proxy, "HEAD /r/b"))
        assert (await client.answer("HEAD")).status == 200
        await asyncio.sleep(0.2)
        async with raw_client(proxy.place) as other:
            await other.send(request(proxy))
            answer = await other.answer()
        assert (answer.content, upstream.connections) == (b"{}", 2)


async def test_a_connection_that_takes_nothing_more_is_not_used_again(tmp_path: Path) -> None:
    """JSON content of 8 MiB is refused early; the upstream reads none of it."""
    seen: list[str] = []

    async def converse(peer: Conversation) -> None:
        asked = await peer.head()
        seen.append(asked.target)
        if asked.target == "/large":
            peer.writer.transport.pause_reading()
            await peer.send(response("413 Content Too Large", b"no"))
            await asyncio.sleep(5)
        await peer.send(OK)

    more = "inject: [{in: body, name: i, max_size: 16777216}]\ntimeouts: {connect: 1s, read: 1s}"
    content = b'{"a": "' + b"x" * (8 * 2**20) + b'"}'
    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
        raw_client(proxy.place) as client,
    ):
        await client.send(request(proxy, "POST /r/large", JSON, content=content))
        assert (await client.answer()).status == 413
        async with raw_client(proxy.place) as other:
            await other.send(request(proxy, "POST /r/small", JSON, content=b"{}"))
            answer = await other.answer()
        assert (answer.status, upstream.connections) == (200, 2)
