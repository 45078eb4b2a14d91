"""The fast lane makes the same bytes as the ordinary one, of whatever comes.

SIDEKEY_TESTS=full python -m pytest tests/hostile/test_lanes.py    # 100,000 requests
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from faults.loaded import scaled
from gateway_samples import keyed
from lane_fixtures import Count
from lane_samples import ANSWERS, ENDING, KEY, Sample, answer_to, sample
from proxying import Sidekey, sidekey
from raw_client import RawClient, raw_client
from raw_upstream import Conversation, RawRequest, conversing

ENDED = "the connection has ended"
LARGE = 50_000  # bytes, which do not arrive at once
SEQUENCE = 20  # requests that are sent over one connection, if it lasts
MORE = """
allow: [{paths: ["**"]}]
deny: [{paths: ["**/deny"]}]
local_answers: [{paths: ["/local"], methods: [GET], json: {token: placeholder}}]
"""
OURS = re.compile(  # what differs from one answer to the next, where it is our own
    rb'"request_id": ?"[0-9a-f]{16}"|\r\nDate: [^\r]*(?=\r\nServer: Python)'
)


async def converse(seen: list[RawRequest], peer: Conversation) -> None:
    while True:
        head = await peer.head()
        request = RawRequest(head.head, await peer.content(head))
        seen.append(request)
        answer = answer_to(request.target)
        place = end_of_head(answer)
        rest = b"" if request.line.startswith(b"HEAD") else answer[place:]
        if len(request.head) % 5:
            await peer.send(answer[:place] + rest)
        else:  # the head alone, and then its content
            await peer.send(answer[:place])
            await asyncio.sleep(0.001)
            await peer.send(rest)
        if any(answer is ANSWERS[number] for number in ENDING):
            return


def end_of_head(answer: bytes) -> int:
    """Return where the content of an answer begins, behind an interim one."""
    is_interim = answer.startswith(b"HTTP/1.1 1")
    first = answer.find(b"\r\n\r\n") + 4
    end = answer.find(b"\r\n\r\n", first) + 4 if is_interim else first
    return end if end > 4 else len(answer)


class Lane:
    """One of the two proxies, and what its upstream at `origin` has seen."""

    def __init__(self, proxy: Sidekey, origin: str, seen: list[RawRequest]) -> None:
        self.proxy = proxy
        self.host = origin.removeprefix("http://").encode()
        self.seen = seen

    async def results(self, samples: list[Sample]) -> list[object]:
        """Send requests one after the other, and return what came of each."""
        results: list[object] = []
        async with raw_client(self.proxy.port) as client:
            for one in samples:
                before = len(self.seen)
                answer = await self.answer(client, one)
                if answer is None:
                    results.append(ENDED)
                    break
                arrived = [
                    (request.head.replace(self.host, b""), request.content)
                    for request in self.seen[before:]
                ]
                results.append((one, answer, arrived))
                if b"\r\nConnection: close\r\n" in answer[0]:
                    break
        return results

    async def answer(self, client: RawClient, one: Sample) -> tuple[bytes, bytes, bool] | None:
        port = str(self.proxy.port).encode()
        try:
            for piece in one.pieces:
                filled = piece.replace(b"{host}", b"127.0.0.1:" + port).replace(b"{port}", port)
                await client.send(filled)
                if len(one.pieces) > 1:
                    await asyncio.sleep(0.001)
            async with asyncio.timeout(20):
                answer = await client.answer(one.method)
                if answer.status == 100:
                    answer = await client.answer(one.method)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        head, content = (OURS.sub(b"", part) for part in (answer.head, answer.content))
        return head.replace(port, b""), content.replace(port, b""), answer.ended


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@asynccontextmanager
async def serving(folder: Path, *, is_fast: bool) -> AsyncIterator[Lane]:
    seen: list[RawRequest] = []
    async with conversing(partial(converse, seen)) as upstream:
        text = keyed(upstream.origin, more=MORE).replace("canary-key-1", KEY)
        async with sidekey(folder, text, is_fast=is_fast) as proxy:
            yield Lane(proxy, upstream.origin, seen)


@pytest.mark.timeout(3600)
async def test_both_lanes_make_the_same_bytes_of_generated_requests(
    tmp_path: Path, count: Count
) -> None:
    draws = random.Random(29)
    wanted = scaled(2_000, 5_000, 100_000)
    async with AsyncExitStack() as stack:
        lanes = [
            await stack.enter_async_context(serving(made(tmp_path / name), is_fast=name == "fast"))
            for name in ("fast", "ordinary")
        ]
        sent = 0
        while sent < wanted:
            samples = [sample(draws) for _ in range(SEQUENCE)]
            fast, ordinary = [await lane.results(samples) for lane in lanes]
            for index, (ours, theirs) in enumerate(zip(fast, ordinary, strict=False)):
                pieces = samples[index].pieces
                takes_time = len(pieces) > 1 or len(pieces[0]) > LARGE
                if ENDED in (ours, theirs) and takes_time:
                    break  # who is refused while he sends may lose the answer (RFC 9112 9.6)
                assert ours == theirs, samples[: index + 1]
            else:
                assert len(fast) == len(ordinary)
            sent += len(ordinary)
    assert count.begun > wanted / 6, "the fast lane was hardly ever taken"
