"""`${file:/path}` and `${credential:name}`: a file that holds one value."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from proxy.config.references import MAX_BYTES, Unresolved, as_text

CONTAINER_SECRETS = Path("/run/secrets")  # of Docker, Podman and Compose
READABLE_BY_OTHERS = 0o077


class OpenedFile(NamedTuple):
    """The text of a file; `exposed` means that others than its owner can read it."""

    text: str
    exposed: bool


def read(path: Path, environ: Mapping[str, str]) -> OpenedFile:
    """Return what a regular file of the user's, of root's or of the platform's holds.

    Symbolic links are followed. Raises `Unresolved`.
    """
    status, content = _opened(path)
    mounted = _is_mounted(path, environ)
    if status.st_uid not in (0, os.geteuid()) and not mounted:
        raise Unresolved(f"{path} belongs to another user, who can change it: chown it")
    exposed = bool(status.st_mode & READABLE_BY_OTHERS) and not mounted
    return OpenedFile(as_text(content, str(path)), exposed)


def _opened(path: Path) -> tuple[os.stat_result, bytes]:
    try:
        # Opening a FIFO would wait for somebody who writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unresolved(f"{path} is no regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return status, file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise Unresolved(f"no such file: {path}") from None
    except OSError as error:
        raise Unresolved(f"cannot read {path}: {error.strerror}") from None
    except ValueError:  # a NUL in the path
        raise Unresolved("this is no path of a file") from None


def credential_places(name: str, environ: Mapping[str, str]) -> list[Path]:
    """Return where systemd's `LoadCredential=` and containers put a secret of that name.

    Raises `Unresolved` if it is no name.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Unresolved("expected ${credential:name}, a name without slashes")
    return [folder / name for folder in _credential_folders(environ)]


def _credential_folders(environ: Mapping[str, str]) -> list[Path]:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    return [*([Path(directory)] if directory else []), CONTAINER_SECRETS]


def _is_mounted(path: Path, environ: Mapping[str, str]) -> bool:
    """Return whether the platform put the file there, which sets mode and owner by design.

    Kubernetes links `..data` of a volume to its present content, and each file through it.
    """
    folders = _credential_folders(environ)
    content = path.parent / "..data"
    if _is_own_link(content):
        folders.append(content)
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)


def _is_own_link(path: Path) -> bool:
    """Return whether we or root made this link: in `/tmp` anybody could, beside a foreign file."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(status.st_mode) and status.st_uid in (0, os.geteuid())
