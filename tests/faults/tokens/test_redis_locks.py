"""Locks in Redis: one holder at a time, and none that is left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from clocks import Clock
from command_line import until
from redis_server import SKIP_WITHOUT_REDIS, RedisServer
from sources import Make
from token_server import TokenServer

from proxy.credentials.attempts import Attempts
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores import base
from proxy.credentials.stores.redis import RedisStore
from proxy.credentials.token import Token
from proxy.errors import StoreBusy, Superseded

pytestmark = [SKIP_WITHOUT_REDIS, pytest.mark.case("S15")]


async def test_a_waiter_hears_at_once_that_the_lock_is_free(
    store: RedisStore, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.credentials.stores.redis.WAKE", 30.0)
    credential = store.fingerprint("credential")
    async with redis.store() as other:
        await other.attempts(credential)
        await asyncio.sleep(0.2)

        async def wait() -> None:
            async with other.lock(credential):
                pass

        async with store.lock(credential):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            await waiting


async def test_a_holder_that_stood_still_has_lost_the_lock_and_overwrites_nothing(
    store: RedisStore, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def give_no_sign_of_life(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(base, "LEASE", 0.3)
    monkeypatch.setattr(store, "_keep", give_no_sign_of_life)
    credential, mine = store.fingerprint("credential"), store.fingerprint("mine")
    first, late, later = (Entry(Token(Secret(f"canary-{n}")), n) for n in (1, 2, 3))
    await store.save("api", mine, first)
    async with redis.store() as other:
        async with store.lock(credential) as lease:
            lease.check()
            async with other.lock(credential) as others:
                others.check()
                await other.save("api", mine, later)
            with pytest.raises(Superseded):
                lease.check()
            with pytest.raises(Superseded):
                await store.save("api", mine, late)
        assert await store.load("api", mine) == later


async def test_a_holder_that_works_keeps_the_lock_beyond_its_first_lease(
    store: RedisStore, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LEASE", 0.3)
    monkeypatch.setattr(base, "LOCK_PATIENCE", 1.0)
    credential = store.fingerprint("credential")
    async with redis.store() as other, store.lock(credential) as lease:
        with pytest.raises(StoreBusy):
            async with other.lock(credential):
                pass
        lease.check()


async def locks(redis: RedisServer) -> object:
    return await redis.command("KEYS", "sidekey:lock:*")


async def test_a_lock_is_let_go_though_the_server_has_just_stood_still(
    make: Make, server: TokenServer, clock: Clock, redis: RedisServer, store: RedisStore
) -> None:
    """Or the whole fleet would wait for the end of the lease."""
    source = make(server.provider(renews=False), store=store)
    await source.token()
    clock.move(hours=1)
    server.faults = [3.0]
    asking = asyncio.create_task(source.token())
    await until(lambda: server.asked == 2)
    redis.pause()
    assert await source.attempts() == Attempts()  # as a status page asks; it waits for 2 seconds
    redis.resume()
    await asking
    assert await locks(redis) == []


async def test_a_lock_whose_grant_nobody_heard_of_is_let_go(
    redis: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked for it was stopped while the answer was on its way."""
    acquire, granted = store._acquire, asyncio.Event()

    async def slowly(*arguments: Any) -> None:
        await acquire(*arguments)
        granted.set()
        await asyncio.Event().wait()

    async def hold() -> None:
        async with store.lock(store.fingerprint("credential")):
            pass

    monkeypatch.setattr(store, "_acquire", slowly)
    holding = asyncio.create_task(hold())
    await granted.wait()
    assert await locks(redis) != []
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    assert await locks(redis) == []
