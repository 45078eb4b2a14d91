"""Locks between the processes of one machine, as files that nobody needs a server for.

The kernel releases a lock when its holder ends, however that happens (flock(2)). A holder that
stands still, because somebody pressed Ctrl-Z, would keep it for ever: so it writes into the file
until when it holds the lock, and on which clock, and goes on doing so. Once that time is over,
others who go by the same clock take away the file and lock a new one.

A lock counts only on the file that stands at its path: without this check, whoever opened the old
file before it was taken away would lock something that nobody else looks at.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from pathlib import Path

from proxy.credentials.stores import base
from proxy.credentials.stores.private_file import make_folder, reported
from proxy.errors import StoreBusy, Superseded

POLL = 0.02, 0.06  # seconds between two tries
TURN_PATIENCE = 10.0  # seconds that a thread waits for what others hold for an instant
SUFFIX = ".lock"
TURN = "turn"  # names of the files on which a folder's processes take turns for an instant:
TAKEOVER = "takeover"  # to change an entry, and to end the lock of one that stands still


class FileLease:
    """The lock on the file `descriptor`, as long as it stands at `path`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._extension: asyncio.TimerHandle | None = None
        self._extend()

    def stands(self) -> bool:
        """Tell whether nobody has taken the lock away."""
        with suppress(OSError):
            return os.path.samestat(self._path.lstat(), os.fstat(self._descriptor))
        return False

    def check(self) -> None:
        """Raise `Superseded` if this process has stood still for so long that others go on."""
        if time.monotonic() >= self._until or not self.stands():
            raise Superseded("this process stood still, and another one has gone on meanwhile")

    def release(self) -> None:
        """Let others have the lock."""
        if self._extension is not None:
            self._extension.cancel()
        os.close(self._descriptor)

    def _extend(self) -> None:
        """Hold the lock for `LEASE` from now on, and again before that is over."""
        self._until = time.monotonic() + base.LEASE
        with suppress(OSError):  # a full disk: then the lock may be taken over
            os.pwrite(self._descriptor, f"{self._until:020.6f} {_clock()}\n".encode(), 0)
        self._extension = asyncio.get_running_loop().call_later(base.LEASE / 3, self._extend)


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[FileLease]:
    """Hold the lock at `path`; raise `StoreBusy` if it cannot be had within `LOCK_PATIENCE`."""
    with reported("lock", path):
        make_folder(path.parent)
        lease = await _acquired(path)
    try:
        yield lease
    finally:
        lease.release()


@contextmanager
def turn_in(folder: Path) -> Iterator[None]:
    """Be the only one that changes the folder's entries; in a thread, and only for an instant."""
    path = folder / TURN
    with reported("lock", path):
        make_folder(folder)
        deadline = time.monotonic() + TURN_PATIENCE
        while (descriptor := _tried(path)) is None:
            if time.monotonic() > deadline:
                raise StoreBusy(f"another process keeps {path} locked")
            time.sleep(random.uniform(*POLL))  # noqa: S311  no secret
    try:
        yield
    finally:
        os.close(descriptor)


def remove_unused(folder: Path, seconds: float) -> None:
    """Remove the locks of `folder` that nobody holds, nor has held for so long."""
    with reported("lock", folder / TAKEOVER), _takeover(folder) as is_ours:
        if is_ours:
            for path in folder.glob(f"*{SUFFIX}"):
                if time.time() - path.lstat().st_mtime > seconds:
                    _remove_if_free(path)


async def _acquired(path: Path) -> FileLease:
    """Return the lock. Nothing here runs in a thread: a lock could be left there."""
    deadline = time.monotonic() + base.LOCK_PATIENCE
    overdue = b""
    while True:
        descriptor = _tried(path)
        if descriptor is not None:
            lease = FileLease(path, descriptor)
            if lease.stands():
                return lease
            lease.release()
        written = _written(path)
        if overdue and written == overdue:  # not of one who is just about to write
            _take_away(path, overdue)
        overdue = written if _is_over(written) else b""
        if time.monotonic() > deadline:
            raise StoreBusy("another process has been getting a token for too long")
        await asyncio.sleep(random.uniform(*POLL))  # noqa: S311  no secret


def _take_away(path: Path, overdue: bytes) -> None:
    """Remove the file of a holder that stands still, if nobody else has done so by now."""
    with _takeover(path.parent) as is_ours:
        if is_ours and not _is_free(path) and _written(path) == overdue:
            path.unlink()


def _remove_if_free(path: Path) -> None:
    descriptor = _tried(path)
    if descriptor is not None:
        path.unlink()
        os.close(descriptor)


def _is_free(path: Path) -> bool:
    descriptor = _tried(path)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


@contextmanager
def _takeover(folder: Path) -> Iterator[bool]:
    """Be the only one who takes lock files away; `False` if another one is at it."""
    descriptor = _tried(folder / TAKEOVER) if folder.is_dir() else None
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _tried(path: Path) -> int | None:
    """Return the file at `path`, locked; `None` if another process has locked it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def _written(path: Path) -> bytes:
    """Return what the holder has written, nothing if it has not yet."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _is_over(written: bytes) -> bool:
    """Tell whether the holder's time is over, as far as its clock is ours."""
    until, _, clock = written.decode(errors="replace").strip().partition(" ")
    try:
        return clock == _clock() and time.monotonic() >= float(until)
    except ValueError:
        return False


@cache
def _clock() -> str:
    """Return what tells this process's monotonic clock from others.

    It begins with the boot of a machine, and Linux's time namespaces shift it.
    """
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/time').stat().st_ino}"
    return "one machine"
