"""Reads and writes files that only their owner may see. Blocking; raises `StoreError`."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxy.errors import StoreError

SIZE_LIMIT = 1024 * 1024  # bytes; an entry with the longest tokens has 40 kB
TEMPORARY = ".tmp"  # ends the names of files that are being written


def read(path: Path) -> bytes | None:
    """Return the content of `path`, `None` if there is no such file.

    Refuses a symlink, whatever is no regular file, and a file of another user or open to others:
    somebody else could have planted it or read it.
    """
    with reported("read", path):
        descriptor = _opened(path)
        if descriptor is None:
            return None
        try:
            _refuse_exposed(path, os.fstat(descriptor))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(SIZE_LIMIT)
        finally:
            os.close(descriptor)


def replace(path: Path, content: bytes) -> None:
    """Give `path` new content in one step.

    Whoever reads it, and whatever crashes, finds the old content or the new, whole; the new one is
    on the disk when this returns.
    """
    with written(path, content) as temporary:
        temporary.replace(path)


@contextmanager
def written(path: Path, content: bytes) -> Iterator[Path]:
    """Yield a file with `content`, on the disk already, that may take the place of `path`.

    If the block has renamed it, that is on the disk too when this ends; else it is removed.
    """
    with reported("write", path), _temporary(path, content) as temporary:
        yield temporary


def put_aside(path: Path, aside: Path, instead: Path | None) -> None:
    """Give `path` the name `aside`, and let the file at `instead` take its place at once."""
    with reported("rename", path):
        if instead is None:
            path.rename(aside)
        else:
            aside.hardlink_to(path)
            link(instead, path)
        _sync(path.parent)


def create(path: Path, content: bytes) -> bool:
    """Make `path` with its whole content in one step; `False` if it exists already.

    A file system without links gets it in two steps, of which a crash may leave the first.
    """
    with reported("write", path), _temporary(path, content) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError:
            return _made_new(path, content)
    return True


def _made_new(path: Path, content: bytes) -> bool:
    try:
        _write_new(path, content)
    except FileExistsError:
        return False
    return True


def remove_older(folder: Path, suffix: str, seconds: float) -> None:
    """Remove the files of `folder` that end in `suffix` and were written so long ago."""
    if not folder.is_dir():
        return
    with reported("tidy", folder / f"*{suffix}"):
        for path in folder.iterdir():
            if path.name.endswith(suffix) and time.time() - path.lstat().st_mtime > seconds:
                path.unlink(missing_ok=True)


def remove(path: Path) -> bool:
    """Remove `path`, whatever it is but a folder; `False` if there was nothing."""
    with reported("remove", path):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        _sync(path.parent)
    return True


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Return something that differs after `path` was replaced, `None` if there is no such file."""
    with reported("look at", path):
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
    return status.st_ino, status.st_mtime_ns, status.st_size


@contextmanager
def reported(doing: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot {doing} {path}: {error.strerror}",
            fix=f"see that {path.parent} is a folder of yours, writable, on a disk with free space",
        ) from error


def _opened(path: Path) -> int | None:
    try:
        # O_NONBLOCK: a FIFO in this place must not hold us up.
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{path} is a symlink", fix=f"remove {path}") from None
        raise


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is no regular file", fix=f"remove {path}")
    if status.st_uid != os.geteuid():
        raise StoreError(
            f"{path} belongs to another user", fix=f"run sidekey as its owner, or remove {path}"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise StoreError(f"{path} is open to others (mode {mode:04o})", fix=f"chmod 600 {path}")


def link(path: Path, name: Path) -> None:
    """Let `name` be one more name of the file at `path`, in one step.

    There may be no such file, or a file system without links: then there is no second name.
    """
    temporary = _temporary_name(name)
    with suppress(OSError):
        os.link(path, temporary, follow_symlinks=False)
        temporary.replace(name)
    temporary.unlink(missing_ok=True)  # two names of one file cannot replace each other


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY}")


@contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """Yield a file beside `path` with `content`; afterwards it is gone, and the folder synced."""
    make_folder(path.parent)
    temporary = _temporary_name(path)
    try:
        _write_new(temporary, content)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def make_folder(folder: Path) -> None:
    """Make `folder` and the parents it lacks, each with mode 0700 (XDG Base Directory)."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):  # another process was quicker
        folder.mkdir(0o700)
    _sync(folder.parent)


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
