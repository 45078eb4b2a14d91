"""Killed around each step of keeping a token: the next process finds this one or the one before.

SIDEKEY_TESTS=full python -m pytest tests/faults/tokens/test_crashes.py    # 10,000 kills
"""

# ruff: noqa: ASYNC240  between two processes, a test looks at the disk

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest
from clocks import Clock
from command_line import until
from loaded import scaled
from processes import SKIP_WITHOUT_STRACE, program, traced
from programs import MATERIAL, NAME, entry
from sources import Make, cut_off
from token_server import TokenServer

from proxy.credentials.entry import Entry
from proxy.credentials.stores.file import FileStore

# Every call of the durable write that changes anything, and how often it is made.
CALLS = "openat,write,fsync,close,link,linkat,rename,renameat,unlink,unlinkat"
POINTS = [
    pytest.param("openat", at, id=f"openat {at}", marks=pytest.mark.case("S01"))
    for at in range(1, 6)
]
POINTS += [
    pytest.param("write", 1, id="write", marks=pytest.mark.case("S02")),
    pytest.param("fsync", 1, id="fsync of the file", marks=pytest.mark.case("S04")),
    pytest.param("link,linkat", 1, id="link", marks=pytest.mark.case("S05")),
    pytest.param("rename,renameat", 1, id="rename to prev", marks=pytest.mark.case("S05")),
    pytest.param("rename,renameat", 2, id="rename", marks=pytest.mark.case("S06")),
    pytest.param("fsync", 2, id="fsync of the folder", marks=pytest.mark.case("S07")),
]
# After one call is before the next one, whatever it is.
POINTS += [
    pytest.param(CALLS, at, id=f"call {at}", marks=pytest.mark.case("S01", "S02", "S04", "S06"))
    for at in range(1, 26)
]


async def keep(folder: Path, *generations: int) -> None:
    store = FileStore(folder)
    for generation in generations:
        await store.save(NAME, store.fingerprint(MATERIAL), entry(generation))


async def kept(folder: Path) -> Entry:
    store = FileStore(folder)
    found = await store.load(NAME, store.fingerprint(MATERIAL))
    assert found is not None, "taken for empty"
    assert found == entry(found.generation), "half of something"
    return found


async def check_goes_on(folder: Path, generation: int) -> None:
    """Check that nothing stands in the way of the next process."""
    async with program("save", folder) as saver:
        await saver.line()
        assert await saver.asked("") == f"saved {generation + 1}"
    assert (await kept(folder)).generation == generation + 1


@SKIP_WITHOUT_STRACE
@pytest.mark.parametrize(("calls", "at"), POINTS)
async def test_killed_before_a_call_the_old_entry_or_the_new_one_is_there(
    folder: Path, calls: str, at: int
) -> None:
    await keep(folder, 1, 2)
    async with program("save", folder) as saver:
        pid = int(await saver.line())
        deadly = f"inject={calls}:signal=KILL:when={at}"
        async with traced(pid, "-e", f"trace={calls}", "-e", deadly):
            saver.say()
            said = await saver.line()
        if said:  # it has fewer calls than that
            assert said == "saved 3"
        else:
            assert await saver.ended() == -signal.SIGKILL
    found = await kept(folder)
    assert found.generation in ((3,) if said else (2, 3))
    await check_goes_on(folder, found.generation)


@SKIP_WITHOUT_STRACE
@pytest.mark.case("S01", "S02", "S04", "S05", "S06", "S07")
async def test_the_calls_come_in_the_order_that_survives_a_power_cut(
    folder: Path, tmp_path: Path
) -> None:
    """Content before name, name before folder: kill -9 alone cannot show what fsync is for."""
    await keep(folder, 1, 2)
    log = tmp_path / "strace"
    async with program("save", folder) as saver:
        pid = int(await saver.line())
        async with traced(pid, "-y", "-e", f"trace={CALLS}", "-o", str(log)):
            assert await saver.asked("") == "saved 3"
    lines = [line for line in log.read_text().splitlines() if str(folder) in line]
    order = [
        found[1]
        for line in lines
        if (found := re.search(r"\b(write|fsync|link|rename)(?:at)?\(", line)) is not None
    ]
    assert order == ["write", "fsync", "link", "rename", "rename", "fsync"]
    synced = [line for line in lines if "fsync(" in line]
    assert re.search(r"fsync\(\d+<[^>]*/\.api\.token\.\w+\.tmp>\)", synced[0])
    assert f"<{folder}>" in synced[1]


@pytest.mark.case("S03")
async def test_killed_in_the_middle_of_a_write_the_old_entry_is_there(folder: Path) -> None:
    await keep(folder, 1, 2)
    async with program("torn", folder) as saver:
        await saver.line()
        saver.say()
        assert await saver.ended() == -signal.SIGKILL
    assert [path.name for path in folder.glob(".*.tmp")], "it was not in the middle"
    assert (await kept(folder)).generation == 2
    await check_goes_on(folder, 2)


@pytest.mark.case("S08")
@pytest.mark.parametrize("renewal", [False, True])
async def test_killed_between_keeping_and_using_the_next_process_uses_it(
    make: Make, server: TokenServer, clock: Clock, folder: Path, renewal: bool
) -> None:
    killed_over = folder.parent / "killed"

    class Deadly(FileStore):
        """Ends its process as soon as the token is kept."""

        async def save(self, name: str, fingerprint: str, entry: Entry) -> None:
            await super().save(name, fingerprint, entry)
            killed_over.touch()
            await asyncio.Event().wait()

    if renewal:
        await make(server.provider(), store=FileStore(folder)).token()
        clock.move(hours=1)
    killed = make(server.provider(), store=Deadly(folder))
    waiting = asyncio.create_task(killed.token())
    await until(lambda: killed_over.exists())
    cut_off(killed)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    token = await make(server.provider(), store=FileStore(folder)).token()
    assert server.is_good(token)
    assert server.calls == ({"sign-in": 1, "renewal": 1} if renewal else {"sign-in": 1})


@pytest.mark.case("S12")
async def test_over_10_000_kills_nothing_is_lost_but_what_was_under_way(folder: Path) -> None:
    count = scaled(200, 2_000, 10_000)
    async with program("kills", folder, str(count)) as killer:
        assert killer.process.stdout is not None
        async with asyncio.timeout(600):
            said = (await killer.process.stdout.read()).decode().split()
        assert await killer.ended() == 0
    assert said[0] == "durable"
    assert int(said[1]) > count / 10, "it never came to keep anything"


@pytest.mark.case("S16")
async def test_temporary_files_of_the_killed_are_removed_at_the_next_start(
    folder: Path, files: FileStore
) -> None:
    await keep(folder, 1)
    async with program("torn", folder) as saver:
        await saver.line()
        saver.say()
        await saver.ended()
    [left] = folder.glob(".*.tmp")
    await files.tidy()
    assert left.exists(), "another process may be writing it right now"
    os.utime(left, (0, 0))
    await files.tidy()
    assert not left.exists()
    assert (await kept(folder)).generation == 1
