"""Locks as files: who has none must know it, and who stands still must not keep it."""

# ruff: noqa: ASYNC240  between two calls, a test looks at the disk

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import proxy
from proxy.credentials.stores import base
from proxy.credentials.stores.file_lock import locked, remove_unused
from proxy.errors import StoreBusy, StoreError, Superseded

ROOT = Path(proxy.__file__).parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "one.lock"


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def held_with(path: Path, written: str) -> Iterator[None]:
    """Hold the lock as another process would, which has written that into it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, written.encode())
        yield
    finally:
        os.close(descriptor)


async def clock_of(path: Path) -> str:
    """Return the name of this process's clock, as a holder writes it."""
    async with locked(path):
        return path.read_text().split(" ", 1)[1].strip()


async def test_the_lock_of_a_holder_that_stands_still_is_taken_over(path: Path) -> None:
    clock = await clock_of(path)
    with held_with(path, f"{time.monotonic() - 1:020.6f} {clock}\n"):
        async with locked(path) as lease:
            lease.check()


async def test_a_holder_that_goes_by_another_clock_is_never_late(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another boot, another container with a clock of its own, another host of a shared folder."""
    monkeypatch.setattr(base, "LOCK_PATIENCE", 0.3)
    with held_with(path, f"{1.0:020.6f} another clock\n"), pytest.raises(StoreBusy):
        async with locked(path):
            pass


async def test_who_was_quick_to_lock_and_slow_to_say_so_is_not_alone_with_another(
    path: Path,
) -> None:
    """Until it has written its own time, the file tells that of an earlier holder."""
    clock = await clock_of(path)
    path.write_text(f"{1.0:020.6f} {clock}\n")
    program = """
import asyncio, sys, time
from pathlib import Path
from proxy.credentials.stores import file_lock

class Slow(file_lock.FileLease):
    def __init__(self, path, descriptor):
        print("locked", flush=True)
        time.sleep(0.4)
        super().__init__(path, descriptor)

file_lock.FileLease = Slow

async def hold():
    async with file_lock.locked(Path(sys.argv[1])) as lease:
        lease.check()
        print(time.monotonic(), flush=True)

asyncio.run(hold())
"""
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(path)),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"locked\n"
    async with locked(path):
        began = time.monotonic()
        await asyncio.sleep(0.6)
        ended = time.monotonic()
    said, _ = await other.communicate()
    entered = float(said.split()[-1])
    assert not began <= entered <= ended


async def test_a_file_system_without_locks_is_told_and_costs_no_descriptor(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(_descriptor: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    before = descriptors()
    for _ in range(20):
        with pytest.raises(StoreError, match="No locks available"):
            async with locked(path):
                pass
    assert descriptors() == before


async def test_a_lock_that_cannot_be_looked_at_any_more_is_taken_for_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Path) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with locked(path) as lease:
        lease.check()
        monkeypatch.setattr(Path, "lstat", broken)
        with pytest.raises(Superseded):
            lease.check()


async def test_locks_that_nobody_has_held_for_long_are_removed_and_no_others(
    tmp_path: Path,
) -> None:
    """A configuration that is edited leaves one behind."""
    unused, recent, held = (tmp_path / f"{name}.lock" for name in ("unused", "recent", "held"))
    for one in (unused, recent, held):
        one.touch()
    async with locked(held):
        for one in (unused, held):
            os.utime(one, (0, 0))
        remove_unused(tmp_path, 60.0)
        assert [one.exists() for one in (unused, recent, held)] == [False, True, True]
