"""Several processes on one store: one renewal each time, and nobody undoes a later one.

SIDEKEY_TESTS=full python -m pytest tests/faults/tokens/test_processes.py    # 1,000 rounds
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from command_line import Home, Started, until
from loaded import scaled
from processes import Program, program
from redis_server import KEY, SKIP_WITHOUT_REDIS, RedisServer
from token_server import TokenServer, token_server

LEASE = 30.0


@asynccontextmanager
async def asking(
    server: TokenServer, folder: Path, count: int, lease: float = LEASE
) -> AsyncIterator[list[Program]]:
    """Run processes that tell which token they would use at a given time."""
    async with AsyncExitStack() as stack:
        programs = [
            await stack.enter_async_context(
                program("ask", folder, json.dumps(server.shape()), str(lease))
            )
            for _ in range(count)
        ]
        for one in programs:
            assert await one.line() == "ready"
        yield programs


@pytest.mark.case("S13")
async def test_processes_that_are_13_ms_apart_renew_once_each_round(folder: Path) -> None:
    """As in a field report, where the second one ended the whole session."""
    rounds = scaled(60, 300, 1_000)
    now = 0.0
    async with (
        token_server(now=lambda: now) as server,
        asking(server, folder, 2) as [first, second],
    ):
        for number in range(1, rounds + 1):
            now += 3600.0
            first.say(str(now))
            await asyncio.sleep(0.013)
            second.say(str(now))
            said = await asyncio.gather(first.line(), second.line())
            assert said[0] == said[1]
            assert said[0].split()[0] == str(number)
    assert server.calls == {"sign-in": 1, "renewal": rounds - 1}


@pytest.mark.case("S14")
@pytest.mark.parametrize("rotates", [True, False])
async def test_a_holder_that_stood_still_overwrites_nothing(folder: Path, rotates: bool) -> None:
    """Somebody pressed Ctrl-Z in the middle of a renewal, and went on a minute later."""
    now = 1.0
    async with (
        token_server(now=lambda: now, rotates=rotates) as server,
        asking(server, folder, 2, lease=1.0) as [sleeper, other],
    ):
        assert (await sleeper.asked(str(now))).startswith("1 ")
        assert (await other.asked(str(now))).startswith("1 ")
        now += 3600.0
        server.faults = [0.5]
        before = server.asked
        sleeper.say(str(now))
        await until(lambda: server.asked > before)
        sleeper.signal(signal.SIGSTOP)
        renewed = await other.asked(str(now))
        assert renewed.startswith("2 "), renewed
        sleeper.signal(signal.SIGCONT)
        assert await sleeper.line() == renewed
        assert await other.asked(str(now)) == renewed
        assert await sleeper.asked(str(now)) == renewed


@pytest.mark.case("S14")
async def test_a_holder_that_was_killed_lets_go_at_once(folder: Path) -> None:
    now = 1.0
    async with (
        token_server(now=lambda: now) as server,
        asking(server, folder, 2) as [holder, other],
    ):
        server.faults = [20.0]
        holder.say(str(now))
        await until(lambda: server.asked == 1)
        holder.signal(signal.SIGKILL)
        async with asyncio.timeout(LEASE / 3):
            assert (await other.asked(str(now))).startswith("1 ")


CONFIG = """\
listen: {{port: 0}}
store: {store}
upstreams:
  {upstreams}
"""


async def get(proxy: Started) -> int:
    url = f"{await proxy.address()}/r/a"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.read()
        return answer.status


async def check_one_fetch_per_life(home: Home, server: TokenServer, *arguments: str) -> None:
    """Run `sidekey run` several times over some lives of a token, all of them in use."""
    count, lives = scaled(3, 8), 4
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(home.serving(*arguments)) for _ in range(count)]
        end = asyncio.get_running_loop().time() + lives * server.life
        while asyncio.get_running_loop().time() < end:
            assert await asyncio.gather(*(get(proxy) for proxy in proxies)) == [200] * count
            await asyncio.sleep(0.05)
        for proxy in proxies:
            assert (await proxy.stopped()).code == 0
    fetched = server.calls["sign-in"] + server.calls["renewal"]
    assert server.calls["sign-in"] == 1
    assert server.calls["reuse"] == server.calls["refused"] == 0
    assert lives - 1 <= fetched <= lives * 1.5 + 1, "one in the last fifth of each life"


@pytest.mark.case("S13")
async def test_8_proxies_on_one_file_store_fetch_once_per_life(home: Home) -> None:
    async with token_server(life=5.0) as server:
        home.configure(CONFIG.format(store="{type: file}", upstreams=server.upstreams("r")))
        await check_one_fetch_per_life(home, server)


@SKIP_WITHOUT_REDIS
@pytest.mark.case("S15")
async def test_8_proxies_on_one_redis_fetch_once_per_life(home: Home, redis: RedisServer) -> None:
    await redis.start()
    store = f"{{type: redis, url: '{redis.url}', key: {KEY.reveal()}}}"
    async with token_server(life=5.0) as server:
        home.configure(CONFIG.format(store=store, upstreams=server.upstreams("r")))
        await check_one_fetch_per_life(home, server)
