"""How the stream of the dashboard answers what no dashboard asks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest
from gateway_samples import keyed
from pages_client import viewing
from proxying import sidekey
from raw_client import message, raw_client
from raw_upstream import answering

PATIENCE = 30.0  # seconds until an answer that does not end counts as endless


async def test_to_a_head_request_the_stream_is_a_head(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.place) as client,
        asyncio.timeout(PATIENCE),
    ):
        await client.send(message("HEAD /_sidekey/api/stream", host=proxy.host))
        assert b"text/event-stream" in await client.head()
        assert await client.reader.read() == b""


@pytest.mark.parametrize("since", ["9" * 5000, "³", "-1"])
async def test_where_the_number_of_a_request_is_none_the_stream_begins_now(
    tmp_path: Path, since: str
) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        viewing(proxy, f"?since={quote(since)}") as viewer,
    ):
        assert [card["upstream"] for card in await viewer.event("upstreams")] == ["r"]
