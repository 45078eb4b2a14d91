"""However many ask at once, and whoever leaves meanwhile: a token is fetched once, and kept."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

import aiohttp
import pytest
from command_line import until
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import ask, raw_client
from sources import Make
from token_server import TokenServer, token_server

from proxy.credentials.stores.file import FileStore
from proxy.events import TokenAcquired, TokenRejected

STATE = "listen: {{port: 0}}\nstore: {{path: {folder}}}\n"


async def statuses(proxy: Sidekey, count: int) -> list[int]:
    """Send so many requests at once."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> int:
            async with session.get(proxy.url("r", "/a")) as answer:
                await answer.read()
                return answer.status

        return await asyncio.gather(*(one() for _ in range(count)))


@pytest.mark.case("T01")
async def test_1000_first_requests_are_one_sign_in(tmp_path: Path, many_sockets: None) -> None:
    beginning = STATE.format(folder=tmp_path / "state")
    async with (
        token_server(faults=[0.3]) as server,
        sidekey(tmp_path, server.upstreams("r"), beginning=beginning) as proxy,
    ):
        assert await statuses(proxy, 1000) == [200] * 1000
    assert server.calls == {"sign-in": 1}
    assert sum(server.served.values()) == 1000


@pytest.mark.case("T02")
async def test_who_came_first_and_leaves_takes_nobody_along(tmp_path: Path) -> None:
    async with (
        token_server(faults=[0.3]) as server,
        sidekey(tmp_path, server.upstreams("r"), beginning=BEGINNING) as proxy,
    ):
        async with raw_client(proxy.port) as first:
            await first.send(f"GET /r/first HTTP/1.1\r\nHost: {proxy.host}\r\n\r\n".encode())
            await until(lambda: proxy.source("r").renewing)
            others = asyncio.create_task(statuses(proxy, 10))
            await asyncio.sleep(0.1)
        assert await others == [200] * 10
    assert server.calls == {"sign-in": 1}
    assert sum(server.served.values()) == 10


@pytest.mark.case("T03")
async def test_what_nobody_waits_for_any_more_is_fetched_and_kept(
    make: Make, server: TokenServer, folder: Path
) -> None:
    server.faults = [0.2]
    source = make(server.provider(), store=FileStore(folder))
    waiters = [asyncio.create_task(source.token()) for _ in range(5)]
    await until(lambda: server.asked > 0)
    for waiter in waiters:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    await source.settle()
    following = make(server.provider(), store=FileStore(folder))
    assert (await following.token()).refresh_token is not None
    assert server.calls == {"sign-in": 1}


@pytest.mark.case("T14")
async def test_500_rejections_at_once_are_one_renewal(tmp_path: Path, many_sockets: None) -> None:
    async with (
        token_server() as server,
        sidekey(tmp_path, server.upstreams("r"), beginning=BEGINNING) as proxy,
    ):
        assert await statuses(proxy, 1) == [200]
        server.revoke()
        assert await statuses(proxy, 500) == [200] * 500
        assert server.calls == {"sign-in": 1, "renewal": 1}
        assert len(proxy.told(TokenRejected)) == 1
        assert len(proxy.told(TokenAcquired)) == 2


@pytest.mark.case("T14")
async def test_sources_that_share_a_store_answer_one_rejection_with_one_renewal(
    make: Make, server: TokenServer, folder: Path
) -> None:
    """As many processes do: each has had the same token rejected."""
    sources = [make(server.provider(), store=FileStore(folder)) for _ in range(8)]
    tokens = await asyncio.gather(*(source.token() for source in sources))
    assert len({token.value for token in tokens}) == 1
    renewed = await asyncio.gather(*(source.token(rejected=tokens[0]) for source in sources))
    assert len({token.value for token in renewed}) == 1
    assert renewed[0].value != tokens[0].value
    assert server.calls == {"sign-in": 1, "renewal": 1}


async def test_a_request_with_a_fresh_token_touches_neither_lock_nor_disk(
    make: Make, server: TokenServer, folder: Path
) -> None:
    source = make(server.provider(), store=FileStore(folder))
    first = await source.token()
    shutil.rmtree(folder)
    with contextlib.closing(source.token()) as asking, pytest.raises(StopIteration) as returned:
        asking.send(None)  # not one await on the way
    assert returned.value.value is first


async def test_readers_of_the_status_see_that_a_token_is_being_fetched(tmp_path: Path) -> None:
    async with (
        token_server(faults=[0.5]) as server,
        sidekey(tmp_path, server.upstreams("r"), beginning=BEGINNING) as proxy,
    ):
        waiting = asyncio.create_task(statuses(proxy, 1))
        await until(lambda: proxy.source("r").renewing)
        [status] = (await ask(proxy, "GET /_sidekey/status")).json()["upstreams"]
        assert status["state"] == "acquiring"
        assert await waiting == [200]
        [status] = (await ask(proxy, "GET /_sidekey/status")).json()["upstreams"]
        assert (status["state"], status["generation"]) == ("ready", 1)
