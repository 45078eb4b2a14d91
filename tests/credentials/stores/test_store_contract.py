"""Every kind of store keeps the same contract."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.credentials.secret import Secret
from proxy.credentials.stores.base import Store
from proxy.credentials.stores.file import FileStore
from proxy.credentials.stores.memory import MemoryStore
from proxy.credentials.token import Token

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PLAIN = Token(Secret("plain-token"))
FULL = Token(
    Secret("access-token"),
    expires_at=NOW + timedelta(hours=1, microseconds=5),
    refresh_token=Secret("refresh-token"),
    refresh_expires_at=NOW + timedelta(days=6),
    outputs={"user": "@藍", "odd": "\ud800\n"},
)


@pytest.fixture(params=["memory", "file", "file with a given key"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore(now=lambda: NOW)
    key = Secret("k" * 32) if "key" in request.param else None
    return FileStore(tmp_path / "state" / "sidekey", key)


@pytest.fixture
def mine(store: Store) -> str:
    return store.fingerprint('{"type": "jquants"}')


@pytest.fixture
def foreign(store: Store) -> str:
    return store.fingerprint('{"type": "miauth"}')


async def test_an_empty_store_has_nothing(store: Store, mine: str) -> None:
    assert await store.load("jquants", mine) is None
    assert store.version("jquants") is None
    assert await store.delete("jquants") is False
    assert await store.delete_foreign("jquants", mine) is False


@pytest.mark.parametrize("token", [PLAIN, FULL], ids=["plain", "full"])
async def test_a_token_comes_back_as_it_was_saved(store: Store, mine: str, token: Token) -> None:
    await store.save("jquants", mine, token)
    assert await store.load("jquants", mine) == token


async def test_a_later_save_wins(store: Store, mine: str) -> None:
    await store.save("jquants", mine, FULL)
    await store.save("jquants", mine, PLAIN)
    assert await store.load("jquants", mine) == PLAIN


async def test_names_do_not_meet(store: Store, mine: str) -> None:
    await store.save("jquants", mine, PLAIN)
    await store.save("jquants.2", mine, FULL)
    assert await store.delete("jquants.2") is True
    assert await store.load("jquants", mine) == PLAIN
    assert await store.load("jquants.2", mine) is None


async def test_a_token_of_another_configuration_is_none(
    store: Store, mine: str, foreign: str
) -> None:
    await store.save("jquants", mine, PLAIN)
    assert await store.load("jquants", foreign) is None
    assert await store.load("jquants", mine) == PLAIN


async def test_delete_forgets(store: Store, mine: str) -> None:
    await store.save("jquants", mine, PLAIN)
    assert await store.delete("jquants") is True
    assert await store.load("jquants", mine) is None
    assert await store.delete("jquants") is False


async def test_delete_foreign_forgets_only_what_is_foreign(
    store: Store, mine: str, foreign: str
) -> None:
    await store.save("jquants", mine, PLAIN)
    assert await store.delete_foreign("jquants", mine) is False
    assert await store.load("jquants", mine) == PLAIN
    assert await store.delete_foreign("jquants", foreign) is True
    assert await store.load("jquants", mine) is None


async def test_a_save_under_another_fingerprint_replaces_the_entry(
    store: Store, mine: str, foreign: str
) -> None:
    await store.save("jquants", mine, PLAIN)
    await store.save("jquants", foreign, FULL)
    assert await store.load("jquants", mine) is None
    assert await store.load("jquants", foreign) == FULL


async def test_the_version_changes_with_every_save_and_with_nothing_else(
    store: Store, mine: str
) -> None:
    await store.save("jquants", mine, PLAIN)
    first = store.version("jquants")
    await store.load("jquants", mine)
    await store.save("another", mine, PLAIN)
    assert store.version("jquants") == first
    await store.save("jquants", mine, PLAIN)
    assert store.version("jquants") not in (first, None)
    await store.delete("jquants")
    assert store.version("jquants") is None


def test_a_fingerprint_is_64_hexadecimal_digits_and_the_same_each_time(store: Store) -> None:
    fingerprint = store.fingerprint("material")
    assert len(bytes.fromhex(fingerprint)) == 32
    assert store.fingerprint("material") == fingerprint
    assert store.fingerprint("materiaL") != fingerprint


def test_material_that_is_no_utf_8_has_a_fingerprint_too(store: Store) -> None:
    """Environment variables reach us with surrogates where they are no UTF-8."""
    assert store.fingerprint("\udcff") != store.fingerprint("\udcfe")


def test_a_fingerprint_depends_on_the_key(tmp_path: Path) -> None:
    """A plain hash would let whoever reads it guess a weak password."""
    stores: list[Store] = [
        MemoryStore(now=lambda: NOW),
        MemoryStore(now=lambda: NOW),
        FileStore(tmp_path / "one"),
        FileStore(tmp_path / "two"),
        FileStore(tmp_path, Secret("k" * 32)),
        FileStore(tmp_path, Secret("l" * 32)),
    ]
    assert len({store.fingerprint("material") for store in stores}) == len(stores)


# What only the memory store does: it drops what is of no use any more.


class Clock:
    """A wall clock that a test turns."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
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
async def test_memory_keeps_a_token_while_it_or_its_refresh_token_lives(
    token: Token, life: timedelta
) -> None:
    clock = Clock()
    store = MemoryStore(now=clock)
    await store.save("jquants", "f", token)
    clock.time = NOW + life - timedelta(seconds=1)
    assert await store.load("jquants", "f") == token
    clock.time = NOW + life
    assert await store.load("jquants", "f") is None
    assert store.version("jquants") is None
    assert await store.delete("jquants") is False


@pytest.mark.parametrize(
    "token",
    [PLAIN, RENEWABLE, replace(PLAIN, refresh_token=Secret("r"), refresh_expires_at=NOW + HOUR)],
    ids=["token without expiry", "refresh token of unknown life", "both"],
)
async def test_memory_keeps_for_good_what_has_no_known_end(token: Token) -> None:
    clock = Clock()
    store = MemoryStore(now=clock)
    await store.save("jquants", "f", token)
    clock.time = NOW + 10_000 * DAY
    assert await store.load("jquants", "f") == token


async def test_an_expired_token_replaces_a_live_one_in_memory() -> None:
    store = MemoryStore(now=lambda: NOW)
    await store.save("jquants", "f", PLAIN)
    await store.save("jquants", "f", replace(EXPIRING, expires_at=NOW))
    assert await store.load("jquants", "f") is None
