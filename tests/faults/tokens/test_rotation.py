"""Refresh tokens that are good once: none is used twice, and none is lost.

SIDEKEY_TESTS=full python -m pytest tests/faults/tokens/test_rotation.py    # 10,000 expiries
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from clocks import Clock
from command_line import until
from loaded import scaled
from sources import Make, cut_off, tended
from token_server import CUT_AFTER, CUT_BEFORE, TokenServer

from proxy.credentials.source import Source
from proxy.credentials.stores import file_lock
from proxy.credentials.stores.file import FileStore
from proxy.errors import GrantRejected, SidekeyError, StoreError, TokenEndpointUnreachable

EXPIRIES = scaled(300, 2_000, 10_000)


def check_never_twice(server: TokenServer, sign_ins: int = 1) -> None:
    assert server.calls["reuse"] == 0
    assert server.calls["refused"] == 0
    assert server.calls["sign-in"] == sign_ins


@pytest.mark.case("T10")
async def test_over_10_000_expiries_no_refresh_token_is_used_twice_and_none_is_lost(
    make: Make,
    server: TokenServer,
    clock: Clock,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two sources share the store as processes do; now and then one of them is replaced."""
    monkeypatch.setattr(file_lock, "POLL", (0.0005, 0.002))
    draws = random.Random(3)
    sources = [make(server.provider(), store=FileStore(folder)) for _ in range(2)]
    while server.calls["renewal"] < EXPIRIES:
        clock.move(seconds=draws.choice([3000, 3300, 3550, 3570, 3599, 3700]))
        asking = [source.token() for source in sources for _ in range(2)]
        tokens = await asyncio.gather(*asking)
        assert all(server.is_good(token) for token in tokens)
        await asyncio.gather(*(source.settle() for source in sources))
        if draws.random() < 0.05:
            sources[0] = make(server.provider(), store=FileStore(folder))
        sources.reverse()
    check_never_twice(server)


@pytest.mark.case("T10")
async def test_rejections_and_expiries_together_use_no_refresh_token_twice(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    draws = random.Random(4)
    sources = [make(server.provider(), store=FileStore(folder)) for _ in range(3)]
    for _ in range(scaled(100, 1_000)):
        source = draws.choice(sources)
        token = await source.token()
        if draws.random() < 0.3:
            server.revoke()
        for _ in range(2):  # another source may have kept one that was revoked too
            if not server.is_good(token):
                token = await source.token(rejected=token)
        assert server.is_good(token)
        clock.move(seconds=draws.choice([31, 900, 3400]))
        for each in sources:
            await tended(each)
    check_never_twice(server)


async def test_a_renewal_whose_request_never_arrived_is_made_again(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    server.faults = [CUT_BEFORE] * 2
    for _ in range(2):
        clock.move(hours=1)
        with pytest.raises(TokenEndpointUnreachable):
            await source.token()
    clock.move(hours=1)
    assert server.is_good(await source.token())
    check_never_twice(server)


async def test_a_renewal_whose_answer_was_lost_ends_in_one_more_sign_in(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """Nobody can do better: the server has rotated, and the answer is gone."""
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    server.faults = [CUT_AFTER]
    clock.move(hours=1)
    with pytest.raises(SidekeyError):
        await source.token()
    clock.move(minutes=1)
    assert server.is_good(await source.token())
    assert (server.calls["sign-in"], server.calls["reuse"]) == (2, 1)


async def test_a_renewal_that_was_cut_off_is_named_when_the_old_token_is_refused(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """The note of the attempt is on the disk before the request leaves."""
    await make(server.provider(), store=FileStore(folder)).token()
    clock.move(hours=1)
    killed = make(server.provider(), store=FileStore(folder))
    server.faults = [5.0]
    waiting = asyncio.create_task(killed.token())
    await until(lambda: server.calls["renewal"] == 1)
    cut_off(killed)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    server.locked = True
    clock.move(minutes=5)
    with pytest.raises(GrantRejected, match="the renewal that began at 10:00 UTC was cut off"):
        await make(server.provider(), store=FileStore(folder)).token()
    assert (server.calls["renewal"], server.calls["reuse"]) == (1, 1), "the old one is tried once"


async def test_nothing_is_renewed_that_could_not_be_kept_safe_from_others(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """Without a lock, another process might be using the same refresh token."""

    class Lockless(FileStore):
        def lock(self, credential: str) -> object:
            raise StoreError("no locks on this disk")

    source: Source = make(server.provider(), store=FileStore(folder))
    first = await source.token()
    lockless = make(server.provider(), store=Lockless(folder))
    clock.move(minutes=58)
    assert (await lockless.token()).value == first.value
    clock.move(minutes=2)
    with pytest.raises(StoreError, match="no locks"):
        await lockless.token()
    assert server.calls["renewal"] == 0
