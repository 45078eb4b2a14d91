"""What tells that a file has changed since it was read."""

from __future__ import annotations

from pathlib import Path

FileVersion = tuple[int, ...]
Versions = dict[Path, FileVersion | None]  # None: there was no such file


def version_at(path: Path) -> FileVersion | None:
    """Return what changes when a file is written, replaced, or given to somebody else.

    Symbolic links are followed, so that a link which is led elsewhere counts too.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    identity = (status.st_dev, status.st_ino, status.st_mode, status.st_uid)
    return (*identity, status.st_size, status.st_mtime_ns)


def current(versions: Versions) -> Versions:
    """Return the versions of the same files now."""
    return {path: version_at(path) for path in versions}
