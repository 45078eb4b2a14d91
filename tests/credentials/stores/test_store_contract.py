"""Every kind of store keeps the same contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis_server import SKIP_WITHOUT_REDIS, RedisServer

from proxy.credentials.attempts import Attempt, Attempts
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores import base
from proxy.credentials.stores.base import Store
from proxy.credentials.stores.file import FileStore
from proxy.credentials.stores.memory import MemoryStore
from proxy.credentials.token import Token
from proxy.errors import ForeignEntry, StoreBusy, Superseded

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PLAIN = Entry(Token(Secret("plain-token")))
FULL = Entry(
    Token(
        Secret("access-token"),
        expires_at=NOW + timedelta(hours=1, microseconds=5),
        refresh_token=Secret("refresh-token"),
        refresh_expires_at=NOW + timedelta(days=6),
        outputs={"user": "@藍", "odd": "\ud800\n"},
        assumed=True,
    ),
    generation=7,
    obtained_at=NOW,
    forced_at=NOW - timedelta(seconds=1),
    rejected=True,
)
SECOND = replace(PLAIN, generation=2)
TRIED = Attempts(
    (Attempt(NOW, 3, "refused", "no such user"), Attempt(NOW + timedelta(seconds=1), 3))
)
KINDS = [
    "memory",
    "file",
    "file with a given key",
    pytest.param("redis", marks=SKIP_WITHOUT_REDIS),
]


@pytest.fixture(params=KINDS)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, redis: RedisServer
) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore(now=lambda: NOW)
    elif request.param == "redis":
        async with redis.store() as store:
            yield store
    else:
        key = Secret("k" * 32) if "key" in request.param else None
        yield FileStore(tmp_path / "state" / "sidekey", key)


@pytest.fixture
def mine(store: Store) -> str:
    return store.fingerprint('{"type": "jquants"}')


@pytest.fixture
def foreign(store: Store) -> str:
    return store.fingerprint('{"type": "miauth"}')


async def test_an_empty_store_has_nothing(store: Store, mine: str) -> None:
    assert await store.load("jquants", mine) is None
    assert await store.delete("jquants") is False
    assert await store.attempts(mine) == Attempts()


@pytest.mark.parametrize("entry", [PLAIN, FULL], ids=["plain", "full"])
async def test_an_entry_comes_back_as_it_was_saved(store: Store, mine: str, entry: Entry) -> None:
    await store.save("jquants", mine, entry)
    assert await store.load("jquants", mine) == entry


async def test_a_later_generation_wins(store: Store, mine: str) -> None:
    await store.save("jquants", mine, PLAIN)
    await store.save("jquants", mine, FULL)
    assert await store.load("jquants", mine) == FULL


@pytest.mark.parametrize("generation", [1, 2])
async def test_a_generation_that_is_not_later_is_superseded(
    store: Store, mine: str, generation: int
) -> None:
    """Whoever has slept over a renewal must not undo the one that another has made."""
    await store.save("jquants", mine, SECOND)
    late = Entry(Token(Secret("late")), generation)
    with pytest.raises(Superseded):
        await store.save("jquants", mine, late)
    assert await store.load("jquants", mine) == SECOND


async def test_a_later_generation_of_another_series_is_superseded(store: Store, mine: str) -> None:
    """Somebody has signed out, and another one in: what went before counts no more."""
    await store.save("jquants", mine, SECOND)
    of_old = replace(PLAIN, generation=9, series="before-the-logout")
    with pytest.raises(Superseded):
        await store.save("jquants", mine, of_old)
    assert await store.load("jquants", mine) == SECOND


async def test_of_writers_of_one_generation_one_wins(store: Store, mine: str) -> None:
    entries = [Entry(Token(Secret(f"token-{number}")), 2) for number in range(8)]
    await store.save("jquants", mine, PLAIN)
    results = await asyncio.gather(
        *(store.save("jquants", mine, entry) for entry in entries), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["NoneType"] + ["Superseded"] * 7
    assert await store.load("jquants", mine) == entries[results.index(None)]


async def test_names_do_not_meet(store: Store, mine: str) -> None:
    await store.save("jquants", mine, PLAIN)
    await store.save("jquants.2", mine, FULL)
    assert await store.delete("jquants.2") is True
    assert await store.load("jquants", mine) == PLAIN
    assert await store.load("jquants.2", mine) is None


async def test_an_entry_of_another_configuration_is_foreign(
    store: Store, mine: str, foreign: str
) -> None:
    await store.save("jquants", mine, PLAIN)
    with pytest.raises(ForeignEntry):
        await store.load("jquants", foreign)
    assert await store.load("jquants", mine) == PLAIN


async def test_delete_forgets_the_generation_too(store: Store, mine: str) -> None:
    await store.save("jquants", mine, FULL)
    assert await store.delete("jquants") is True
    assert await store.load("jquants", mine) is None
    assert await store.delete("jquants") is False
    await store.save("jquants", mine, PLAIN)
    assert await store.load("jquants", mine) == PLAIN


async def test_a_save_under_another_fingerprint_replaces_the_entry(
    store: Store, mine: str, foreign: str
) -> None:
    await store.save("jquants", mine, FULL)
    await store.save("jquants", foreign, PLAIN)
    assert await store.load("jquants", foreign) == PLAIN
    with pytest.raises(ForeignEntry):
        await store.load("jquants", mine)


async def changed(store: Store, since: object) -> object:
    """Wait until the version is another one: a server tells of changes, but not at once."""
    async with asyncio.timeout(5):
        while store.version("jquants") == since:  # noqa: ASYNC110  nobody tells when
            await asyncio.sleep(0.01)
    return store.version("jquants")


async def test_the_version_changes_with_every_change_of_the_entry(store: Store, mine: str) -> None:
    await store.load("jquants", mine)
    version = store.version("jquants")
    await store.save("jquants", mine, PLAIN)
    version = await changed(store, since=version)
    await store.save("jquants", mine, SECOND)
    version = await changed(store, since=version)
    await store.delete("jquants")
    await changed(store, since=version)


async def test_the_version_changes_with_nothing_else(store: Store, mine: str) -> None:
    await store.save("jquants", mine, PLAIN)
    await store.load("jquants", mine)
    await asyncio.sleep(0.1)
    version = store.version("jquants")
    await store.load("jquants", mine)
    await store.save("another", mine, PLAIN)
    await store.note(mine, TRIED)
    await asyncio.sleep(0.1)
    assert store.version("jquants") == version


async def test_attempts_are_kept_by_credential(store: Store, mine: str, foreign: str) -> None:
    await store.note(mine, TRIED)
    assert await store.attempts(mine) == TRIED
    assert await store.attempts(foreign) == Attempts()
    await store.note(mine, Attempts())
    assert await store.attempts(mine) == Attempts()
    await store.note(mine, Attempts())


async def test_one_holds_the_lock_of_a_credential_at_a_time(
    store: Store, mine: str, foreign: str
) -> None:
    order: list[str] = []

    async def hold(credential: str, name: str) -> None:
        async with store.lock(credential) as lease:
            order.append(f"{name} in")
            await asyncio.sleep(0.05)
            lease.check()
            order.append(f"{name} out")

    async with store.lock(foreign):
        await asyncio.gather(hold(mine, "a"), hold(mine, "b"), hold(mine, "c"))
    assert len(order) == 6
    for entered, left in zip(order[::2], order[1::2], strict=True):
        assert entered.endswith(" in")
        assert left == entered.replace("in", "out")


async def test_whoever_fails_inside_lets_go_of_the_lock(store: Store, mine: str) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError):
            async with store.lock(mine):
                raise RuntimeError


async def test_whoever_is_cancelled_lets_go_of_the_lock(store: Store, mine: str) -> None:
    async def hold() -> None:
        async with store.lock(mine):
            entered.set()
            await asyncio.Event().wait()

    entered = asyncio.Event()
    holder, waiter = asyncio.create_task(hold()), asyncio.create_task(hold())
    await entered.wait()
    waiter.cancel()
    holder.cancel()
    await asyncio.gather(holder, waiter, return_exceptions=True)
    async with asyncio.timeout(5), store.lock(mine):
        pass


async def test_whoever_waits_too_long_is_told(
    store: Store, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(store, MemoryStore):
        return  # within one process there is one renewal, and nobody to wait for it here
    monkeypatch.setattr(base, "LOCK_PATIENCE", 0.1)
    async with store.lock(mine):
        with pytest.raises(StoreBusy):
            async with store.lock(mine):
                pass


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
