"""A Redis that is down, emptied, restarted or stands still, under load."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from clocks import Clock
from command_line import until
from proxying import sidekey
from raw_client import ask
from redis_server import KEY, SKIP_WITHOUT_REDIS, RedisServer
from sources import Make, tended
from token_server import TokenServer, token_server

from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores import redis as redis_module
from proxy.credentials.stores.redis import RedisStore
from proxy.credentials.token import Token
from proxy.errors import StoreError
from proxy.events import TokenAcquired

pytestmark = [SKIP_WITHOUT_REDIS, pytest.mark.case("S15")]


async def test_while_it_is_down_a_token_serves_as_long_as_it_lives(
    make: Make, server: TokenServer, clock: Clock, redis: RedisServer, store: RedisStore
) -> None:
    """Nobody renews what rotates: another host might be using the same refresh token."""
    source = make(server.provider(), store=store)
    first = await source.token()
    await redis.stop()
    clock.move(minutes=58)
    assert await source.token() == first
    await source.settle()
    clock.move(minutes=2)
    with pytest.raises(StoreError) as caught:
        await source.token()
    assert "Redis" in caught.value.detail
    assert str(KEY) not in str(caught.value)
    assert server.calls == {"sign-in": 1}


async def test_while_it_is_down_what_can_be_bought_again_is(
    make: Make, server: TokenServer, clock: Clock, redis: RedisServer, store: RedisStore
) -> None:
    source = make(server.provider(renews=False), store=store)
    await source.token()
    await redis.stop()
    clock.move(hours=1)
    second = await source.token()
    assert server.is_good(second)
    assert not source.saved
    await redis.start()
    for _ in range(4):
        clock.move(minutes=1)
        await tended(source)
    assert source.saved
    async with redis.store() as other:
        assert await make(server.provider(renews=False), store=other).token() == second


async def test_a_proxy_starts_and_serves_though_it_is_down(
    tmp_path: Path, redis: RedisServer
) -> None:
    store = f"{{type: redis, url: '{redis.url}', key: {KEY.reveal()}}}"
    async with token_server(rotates=False) as server:
        upstreams = server.upstreams("r", renews=False)
        async with sidekey(
            tmp_path, upstreams, beginning=f"listen: {{port: 0}}\nstore: {store}\n"
        ) as proxy:
            assert (await ask(proxy, "GET /r/a")).status == 200
            [status] = (await ask(proxy, "GET /_sidekey/status")).json()["upstreams"]
    assert (status["state"], status["stored"]) == ("ready", False)


async def test_what_an_emptied_server_has_lost_is_brought_back_and_not_fetched_again(
    make: Make, server: TokenServer, clock: Clock, redis: RedisServer, store: RedisStore
) -> None:
    """FLUSHALL, or a restart without persistence: only this process has the refresh token now."""
    source = make(server.provider(), store=store)
    first = await source.token()
    await redis.command("FLUSHALL")
    clock.move(minutes=58)
    await source.token()
    await source.settle()
    async with redis.store() as other:
        following = await make(server.provider(), store=other).token()
    assert following != first
    assert server.calls == {"sign-in": 1, "renewal": 1}


async def test_a_restart_that_forgets_everything_is_noticed_and_healed(
    make: Make, server: TokenServer, clock: Clock, redis: RedisServer, store: RedisStore
) -> None:
    source = make(server.provider(), store=store)
    first = await source.token()
    await tended(source)
    await redis.stop()
    await redis.start()
    async with redis.store() as other, asyncio.timeout(20):
        following = make(server.provider(), store=other)
        while await following.peek() is None:
            await tended(source)
            clock.move(seconds=1)
            await asyncio.sleep(0.1)
        assert await following.token() == first
    assert server.calls == {"sign-in": 1}


async def test_a_logout_is_no_loss_and_everybody_hears_of_it(
    make: Make, server: TokenServer, redis: RedisServer, store: RedisStore
) -> None:
    source = make(server.provider(), store=store)
    first = await source.token()
    await tended(source)
    async with redis.store() as other:
        assert await make(server.provider(), store=other).forget()
        async with asyncio.timeout(10):
            while source.entry is not None:
                await tended(source)
                await asyncio.sleep(0.05)
    assert await source.token() != first
    assert server.calls == {"sign-in": 2}


async def test_requests_with_a_token_do_not_wait_for_a_server_that_stands_still(
    tmp_path: Path, redis: RedisServer
) -> None:
    await redis.start()
    store = f"{{type: redis, url: '{redis.url}', key: {KEY.reveal()}}}"
    async with token_server() as server:
        beginning = f"listen: {{port: 0}}\nstore: {store}\n"
        async with sidekey(tmp_path, server.upstreams("r"), beginning=beginning) as proxy:
            assert (await ask(proxy, "GET /r/a")).status == 200
            redis.pause()
            try:
                async with asyncio.timeout(5):
                    answers = [await ask(proxy, "GET /r/a") for _ in range(200)]
            finally:
                redis.resume()
        assert {answer.status for answer in answers} == {200}
        assert len(proxy.told(TokenAcquired)) == 1


async def test_under_load_a_server_that_is_restarted_and_paused_costs_no_request(
    tmp_path: Path, redis: RedisServer
) -> None:
    """Tokens that can be bought again are; each lives for a second."""
    await redis.start()
    store = f"{{type: redis, url: '{redis.url}', key: {KEY.reveal()}}}"
    async with token_server(life=1.0) as server:
        upstreams = server.upstreams("r", renews=False)
        beginning = f"listen: {{port: 0}}\nstore: {store}\n"
        async with sidekey(tmp_path, upstreams, beginning=beginning) as proxy:
            statuses: list[int] = []

            async def load() -> None:
                while True:
                    statuses.append((await ask(proxy, "GET /r/a")).status)
                    await asyncio.sleep(0.02)

            loading = asyncio.create_task(load())
            await asyncio.sleep(1.0)
            await redis.stop()
            await asyncio.sleep(1.5)
            await redis.start()
            await asyncio.sleep(1.0)
            redis.pause()
            await asyncio.sleep(1.5)
            redis.resume()
            await asyncio.sleep(1.0)
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
    assert set(statuses) == {200}
    assert len(statuses) > 50


async def test_a_server_that_stands_still_costs_one_wait_and_not_one_for_each_renewal(
    make: Make, server: TokenServer, clock: Clock, redis: RedisServer, store: RedisStore
) -> None:
    source = make(server.provider(renews=False), store=store)
    await source.token()
    redis.pause()
    clock.move(hours=1)
    assert server.is_good(await source.token())
    down_until = store._down_until
    assert down_until
    clock.move(hours=1)
    assert server.is_good(await source.token())
    assert store._down_until == down_until, "it was asked again"
    redis.resume()


async def test_news_that_nobody_can_read_are_heard_and_harm_nothing(
    redis: RedisServer, store: RedisStore
) -> None:
    mine = store.fingerprint("mine")
    await store.load("api", mine)
    await until(lambda: store.version("api") != (0, 0))
    await redis.command("PUBLISH", "sidekey:news", b"\xff\xfe")
    async with redis.store() as other:
        before = store.version("api")
        await other.save("api", mine, Entry(Token(Secret("canary-token"))))
        await until(lambda: store.version("api") != before)


async def test_a_channel_that_dies_without_a_word_is_noticed(redis: RedisServer) -> None:
    """Such as behind a firewall that forgets connections: commands work, and no news come."""
    await redis.start()
    deaf = False

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, away = await asyncio.open_connection("127.0.0.1", redis.port)
        listens = False

        async def up() -> None:
            nonlocal listens
            while chunk := await reader.read(65536):
                listens = listens or b"SUBSCRIBE" in chunk
                away.write(chunk)
            away.close()

        async def down() -> None:
            was_there_before = not deaf
            while chunk := await there.read(65536):
                if not (deaf and listens and was_there_before):
                    writer.write(chunk)
            writer.close()

        with suppress(ConnectionError):
            await asyncio.gather(up(), down())

    async with await asyncio.start_server(passed_on, "127.0.0.1", 0) as between:
        port = between.sockets[0].getsockname()[1]
        async with redis.store(f"redis://127.0.0.1:{port}/0") as store, redis.store() as other:
            mine = store.fingerprint("mine")
            await store.load("api", mine)
            await until(lambda: store.version("api") != (0, 0))
            deaf = True
            before = store.version("api")
            await other.save("api", mine, Entry(Token(Secret("canary-token"))))
            await until(lambda: store.version("api") != before)


async def test_a_server_that_did_not_answer_is_left_alone_for_a_moment(
    redis: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or every request would wait for it, and every upstream's status."""
    monkeypatch.setattr(redis_module, "TIMEOUT", 0.2)
    mine = store.fingerprint("mine")
    await store.load("api", mine)
    redis.pause()
    with pytest.raises(StoreError, match="TimeoutError"):
        await store.load("api", mine)
    with pytest.raises(StoreError, match="a moment ago"):
        await store.load("api", mine)
    redis.resume()
    monkeypatch.setattr(store, "_down_until", 0.0)
    assert await store.load("api", mine) is None


async def test_what_could_not_be_kept_while_it_was_down_is_kept_as_soon_as_it_is_back(
    make: Make, server: TokenServer, clock: Clock, redis: RedisServer
) -> None:
    """Before anybody else renews with the token that the server still has."""
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    await redis.start(*durable)
    async with redis.store() as store, redis.store() as other:
        source = make(server.provider(), store=store)
        following = make(server.provider(), store=other)
        assert await source.token() == await following.token()
        clock.move(minutes=58)
        server.issued_one = redis.kill
        await source.token()
        await source.settle()
        await redis.stop()
        assert not source.saved
        for _ in range(5):
            clock.move(seconds=1)
            await tended(source)
        await redis.start(*durable)
        before = store.version("api")
        await until(lambda: store.version("api") != before)
        await tended(source)
        assert source.saved
        clock.move(minutes=2)
        assert await following.token() == await source.token()
        await source.close()
    assert server.calls == {"sign-in": 1, "renewal": 1}
