"""Reads and writes files that only their owner may see. Blocking; raises `StoreError`."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxy.errors import StoreError

SIZE_LIMIT = 1024 * 1024  # bytes; an entry with the longest tokens has 40 kB


def read(path: Path) -> bytes | None:
    """Return the content of `path`, `None` if there is no such file.

    Refuses a symlink, whatever is no regular file, and a file of another user or open to others:
    somebody else could have planted it or read it.
    """
    with _reported("read", path):
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
    with _reported("write", path), _temporary(path, content) as temporary:
        temporary.replace(path)


def create(path: Path, content: bytes) -> bool:
    """Make `path` with its whole content in one step; `False` if it exists already."""
    with _reported("write", path), _temporary(path, content) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
    return True


def remove(path: Path) -> bool:
    """Remove `path`, whatever it is but a folder; `False` if there was nothing."""
    with _reported("remove", path):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        _sync(path.parent)
    return True


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Return something that differs after `path` was replaced, `None` if there is no such file."""
    with _reported("look at", path):
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
    return status.st_ino, status.st_mtime_ns, status.st_size


@contextmanager
def _reported(doing: str, path: Path) -> Iterator[None]:
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


@contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """Yield a file beside `path` with `content`; afterwards it is gone, and the folder synced."""
    _make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        _write_new(temporary, content)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _make_folder(folder: Path) -> None:
    """Make `folder` and the parents it lacks, each with mode 0700 (XDG Base Directory)."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
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
