"""A scrape reaches one worker, and tells of all."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from command_line import PATIENCE, Home, Started, until, workers_of
from raw_upstream import answering
from scraping import scrape

CONFIG = """\
listen: {{port: 0}}
upstreams:
  r: {{base_url: "{origin}", provider: {{type: api_key, keys: "${{KEY}}"}}}}
"""
REQUESTS = 60


@asynccontextmanager
async def serving(home: Home, workers: int = 2) -> AsyncIterator[tuple[Started, str]]:
    async with answering() as upstream:
        home.configure(CONFIG.format(origin=upstream.origin))
        async with home.serving("--workers", str(workers), KEY="canary-key") as proxy:
            yield proxy, await proxy.address()


async def ask(address: str) -> int:
    """Ask once over a connection of its own, which any worker may take."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}/r/a") as answer:
        await answer.read()
        return answer.status


async def ask_all(address: str, count: int = REQUESTS) -> None:
    for _ in range(count // 6):
        assert await asyncio.gather(*(ask(address) for _ in range(6))) == [200] * 6


async def counted(address: str) -> float:
    return (await scrape(address)).total("sidekey_requests_total")


async def until_all_say(address: str, count: int, times: int = 12) -> list[float]:
    """Scrape until so many in turn say `count`, which no worker did alone; return all values."""
    seen: list[float] = []
    async with asyncio.timeout(PATIENCE):
        while seen[-times:] != [count] * times:
            seen.append(await counted(address))
    return seen


async def test_whoever_answers_tells_what_all_have_counted(home: Home) -> None:
    async with serving(home) as (_, address):
        for number in range(1, 6):
            await ask_all(address, REQUESTS // 5)
            seen = await until_all_say(address, number * REQUESTS // 5)
            assert max(seen) <= number * REQUESTS // 5


async def test_counters_do_not_go_back_when_a_worker_is_killed(home: Home) -> None:
    async with serving(home) as (proxy, address):
        await ask_all(address)
        seen = await until_all_say(address, REQUESTS)
        [first, second] = workers_of(proxy)
        for killed in (first, second):
            os.kill(killed, signal.SIGKILL)
            seen += [await counted(address) for _ in range(10)]
            await until(lambda killed=killed: len({*workers_of(proxy)} - {killed}) == 2)
            await ask_all(address)
            seen += await until_all_say(address, int(seen[-1]) + REQUESTS)
        found = await scrape(address)
        assert (await proxy.stopped()).code == 0
    assert seen == sorted(seen), "a counter went back"
    assert found.value("sidekey_workers_ended_total") == 2
    assert found.value("sidekey_request_duration_seconds_count", upstream="r") == 3 * REQUESTS


async def test_a_reload_of_all_workers_is_one(home: Home) -> None:
    async with serving(home) as (proxy, address):
        before = await scrape(address)
        proxy.process.send_signal(signal.SIGHUP)
        await until(lambda: proxy.err.text.count('"event": "config.reloaded"') == 2)
        found = await scrape(address)
        path = home.work / "sidekey.yaml"
        path.write_text("upstreams: 1\n")
        proxy.process.send_signal(signal.SIGHUP)
        await until(lambda: proxy.err.text.count('"event": "config.refused"') >= 2)
        refused = await scrape(address)
    last = "sidekey_config_last_reload_timestamp_seconds"
    reloads = "sidekey_config_reloads_total"
    assert found.value(reloads, result="loaded") == 1
    assert found.value("sidekey_config_last_reload_successful") == 1
    assert before.value(last) < found.value(last) < refused.value(last)
    assert refused.value(reloads, result="refused") == 1
    assert refused.value("sidekey_config_last_reload_successful") == 0
