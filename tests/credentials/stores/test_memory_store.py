"""The memory store drops what is of no use any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from clocks import Clock

from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores.memory import MemoryStore
from proxy.credentials.token import Token

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = Clock()()
PLAIN = Token(Secret("plain-token"))
EXPIRING = Token(Secret("t"), expires_at=NOW + HOUR)
RENEWABLE = replace(EXPIRING, refresh_token=Secret("r"))


@pytest.mark.parametrize(
    ("token", "life"),
    [
        (EXPIRING, HOUR),
        (replace(RENEWABLE, refresh_expires_at=NOW + DAY), DAY),
        (replace(RENEWABLE, expires_at=NOW + DAY, refresh_expires_at=NOW + HOUR), DAY),
        (replace(EXPIRING, refresh_expires_at=NOW + DAY), HOUR),
    ],
    ids=["token", "refresh token", "the later of the two", "no refresh token"],
)
async def test_a_token_is_kept_while_it_or_its_refresh_token_lives(
    clock: Clock, token: Token, life: timedelta
) -> None:
    store = MemoryStore(now=clock)
    await store.save("jquants", "f", Entry(token))
    clock.move(seconds=life.total_seconds() - 1)
    assert await store.load("jquants", "f") == Entry(token)
    clock.move(seconds=1)
    assert await store.load("jquants", "f") is None
    assert await store.delete("jquants") is False


@pytest.mark.parametrize(
    "token",
    [PLAIN, RENEWABLE, replace(PLAIN, refresh_token=Secret("r"), refresh_expires_at=NOW + HOUR)],
    ids=["token without expiry", "refresh token of unknown life", "both"],
)
async def test_what_has_no_known_end_is_kept_for_good(clock: Clock, token: Token) -> None:
    store = MemoryStore(now=clock)
    await store.save("jquants", "f", Entry(token))
    clock.move(days=10_000)
    assert await store.load("jquants", "f") == Entry(token)


async def test_an_expired_token_replaces_a_live_one(clock: Clock) -> None:
    store = MemoryStore(now=clock)
    await store.save("jquants", "f", Entry(PLAIN))
    await store.save("jquants", "f", Entry(replace(EXPIRING, expires_at=NOW), 2))
    assert await store.load("jquants", "f") is None
