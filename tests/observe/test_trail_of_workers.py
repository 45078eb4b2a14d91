"""Whichever worker is asked tells of the requests that any of them has served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from command_line import Home
from raw_upstream import answering

CONFIG = "upstreams: {{r: {{base_url: '{origin}', provider: {{type: api_key, keys: '${{KEY}}'}}}}}}"
REQUESTS = 40


async def asked(url: str) -> bytes:
    """Ask over a connection of its own, which any worker may accept."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.read()


async def paths(url: str) -> list[str]:
    lines = json.loads(await asked(f"{url}/_sidekey/api/requests"))["requests"]
    return sorted(line["path"] for line in lines)


@asynccontextmanager
async def two_workers(home: Home) -> AsyncIterator[str]:
    """Serve one upstream with two workers; yield the URL."""
    async with answering() as upstream:
        home.configure(CONFIG.format(origin=upstream.origin))
        async with home.serving("--workers", "2", KEY="canary-key-of-workers") as proxy:
            yield await proxy.address()


async def all_details(url: str) -> list[Any]:
    lines = json.loads(await asked(f"{url}/_sidekey/api/requests"))["requests"]
    return [json.loads(await asked(f"{url}/_sidekey/api/requests/{line['id']}")) for line in lines]


async def test_each_worker_tells_of_the_requests_of_all(home: Home) -> None:
    expected = sorted(f"/r/{number}" for number in range(REQUESTS))
    async with two_workers(home) as url, asyncio.timeout(30):
        await asyncio.gather(*(asked(url + path) for path in expected))
        while [await paths(url) for _ in range(8)] != [expected] * 8:  # noqa: ASYNC110  others'
            await asyncio.sleep(0.1)
        reasons: set[str | None] = set()
        while reasons != {None, "another worker has served it"}:  # one may have taken them all
            await asked(f"{url}/r/one-more")
            found = await all_details(url)  # the last one may not be known to all yet
            reasons |= {detail["why_not"] for detail in found if "why_not" in detail}


async def test_one_switch_lets_every_worker_record_contents(home: Home) -> None:
    async with two_workers(home) as url, asyncio.timeout(30):
        overview = json.loads(await asked(f"{url}/_sidekey/api/overview"))
        fields = {"Sidekey-Token": overview["token"]}
        async with aiohttp.ClientSession(headers=fields) as session:
            await session.post(f"{url}/_sidekey/api/recording", json={"content": True})
        recording: set[bool] = set()
        while recording != {True}:
            told = [json.loads(await asked(f"{url}/_sidekey/api/overview")) for _ in range(10)]
            recording = {overview["records_content"] for overview in told}
