"""Entries that are not what they were: none is taken for empty, and none is lost."""

# ruff: noqa: ASYNC240  between two steps, a test looks at the disk

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from clocks import Clock
from failing_disks import failing
from sources import Make, tended
from token_server import TokenServer

from proxy.credentials.stores.file import FileStore
from proxy.events import EntryPutAside, Event


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def changed(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def emptied(_content: bytes) -> bytes:
    return b""


def of_another_version(content: bytes) -> bytes:
    return b"SIDEKEY\x09" + content[8:]


def of_another_key(content: bytes) -> bytes:
    return content[:8] + os.urandom(32) + content[40:]


@pytest.mark.case("S11")
@pytest.mark.parametrize("damage", [cut, changed, emptied, of_another_version, of_another_key])
async def test_the_entry_before_a_damaged_one_is_used_and_the_damaged_one_kept(
    make: Make,
    server: TokenServer,
    clock: Clock,
    folder: Path,
    damage: Callable[[bytes], bytes],
) -> None:
    """Its refresh token was used, so the strictest server asks for one more sign-in."""
    source = make(server.provider(), store=FileStore(folder))
    first = await source.token()
    clock.move(minutes=58)
    await source.token()
    await source.settle()
    path = folder / "api.token"
    path.write_bytes(damage(path.read_bytes()))
    events: list[Event] = []
    store = FileStore(folder, observe=events.append)
    following = make(server.provider(), store=store, events=events)
    assert await following.token() == first, "it is still good for two minutes"
    [aside] = [event for event in events if isinstance(event, EntryPutAside)]
    assert aside.recovered
    assert Path(aside.path).exists()
    clock.move(minutes=2)
    assert server.is_good(await following.token())
    assert server.calls["sign-in"] == 2


@pytest.mark.case("S11")
async def test_a_running_proxy_that_knows_the_later_token_puts_it_back(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """It must not take over the earlier one: that refresh token is used up."""
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    clock.move(hours=1)
    second = await source.token()
    path = folder / "api.token"
    path.write_bytes(changed(path.read_bytes()))
    for _ in range(3):
        await tended(source)
    assert await source.token() == second
    assert await make(server.provider(), store=FileStore(folder)).token() == second
    clock.move(hours=1)
    assert server.is_good(await source.token())
    assert server.calls == {"sign-in": 1, "renewal": 2}


@pytest.mark.case("S11")
async def test_a_running_proxy_brings_back_its_first_token_when_another_process_met_it_damaged(
    make: Make, server: TokenServer, folder: Path
) -> None:
    """There is none before it, and what was put aside is no logout: a human may have signed in."""
    source = make(server.provider(), store=FileStore(folder))
    token = await source.token()
    await tended(source)  # it takes note of what it has kept itself
    path = folder / "api.token"
    path.write_bytes(changed(path.read_bytes()))
    assert await make(server.provider(), store=FileStore(folder)).peek() is None
    for _ in range(2):
        await tended(source)
    assert await source.token() == token
    assert await make(server.provider(), store=FileStore(folder)).token() == token
    assert await make(server.provider(), store=FileStore(folder)).forget()
    await tended(source)
    assert source.entry is None, "a logout is one all the same"
    assert server.calls == {"sign-in": 1}


@pytest.mark.case("S09")
async def test_a_logout_counts_for_an_entry_that_was_damaged_and_could_not_be_put_back(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    await tended(source)
    path = folder / "api.token"
    path.write_bytes(changed(path.read_bytes()))
    with failing("fsync", errno.ENOSPC):
        for _ in range(2):
            await tended(source)
        assert not source.saved
    assert await make(server.provider(), store=FileStore(folder)).forget()
    for _ in range(3):
        clock.move(minutes=1)
        await tended(source)
    assert source.entry is None
    assert await make(server.provider(), store=FileStore(folder)).peek() is None
