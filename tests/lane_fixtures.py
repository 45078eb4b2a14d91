"""What the tests of the fast lane share: plain requests, and how many took it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import Sidekey, sidekey
from raw_client import RawClient, message, raw_client
from raw_upstream import Answer, RawUpstream, answering, response

from proxy.gateway.fast_lane import FastExchange

JSON = "Content-Type: application/json"
GOOD = response("200 OK", b"{}", JSON)


class Count:
    """How many exchanges the fast lane has begun, and finished."""

    begun = 0
    finished = 0


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Iterator[Count]:
    counted = Count()
    begin, finish = FastExchange.begin, FastExchange._finish

    def begin_counted(exchange: FastExchange, *arguments: object) -> None:
        counted.begun += 1
        begin(exchange, *arguments)  # type: ignore[arg-type]

    def finish_counted(exchange: FastExchange) -> None:
        counted.finished += 1
        finish(exchange)

    monkeypatch.setattr(FastExchange, "begin", begin_counted)
    monkeypatch.setattr(FastExchange, "_finish", finish_counted)
    return counted


def request(proxy: Sidekey, line: str = "GET /r/a", *fields: str, content: bytes = b"") -> bytes:
    if content:
        fields = (*fields, f"Content-Length: {len(content)}")
    return message(line, *fields, content=content, host=proxy.host)


async def warm(client: RawClient, proxy: Sidekey, times: int = 2) -> None:
    """Let the ordinary lane see the usual heads."""
    for _ in range(times):
        await client.send(request(proxy))
        assert (await client.answer()).status == 200


@asynccontextmanager
async def serving(
    tmp_path: Path, *answers: Answer, more: str = ""
) -> AsyncIterator[tuple[RawUpstream, Sidekey, RawClient]]:
    async with (
        answering(*answers or [GOOD]) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more), is_fast=True) as proxy,
        raw_client(proxy.place) as client,
    ):
        yield upstream, proxy, client
