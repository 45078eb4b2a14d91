"""What holds for a configuration that nobody named: it merely lies in the current directory.

It may be anybody's: that of a cloned repository, whose files are our own once they are cloned, or
of whoever wrote into `/tmp` first. So nobody else may own or change it, and it runs no program and
reads no secret from beyond its folder: `sidekey status` was enough to run what it names. Variables
it may use, as a file of npm or compose may: who starts a program there hands them over.

A file that is named (`--config`, `SIDEKEY_CONFIG`) is somebody's decision, and into the folders of
the user's and the system's configuration no stranger writes. There owner and mode are not looked
at: a file that is mounted into a container keeps those of the host.
"""

from __future__ import annotations

import os
from pathlib import Path

from proxy.config.references import Unresolved
from proxy.errors import ConfigError

_WRITABLE_BY_OTHERS = 0o022
_REFUSED = {
    "exec": "run programs",
    "keyring": "read the keyring",
    "credential": "read credentials of the platform",
    "file": "read files beyond that directory",
}


def check_writers(path: Path, status: os.stat_result) -> None:
    """Raise `ConfigError` if others than we and root can change the file."""
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            [f"{path}: belongs to another user; to use it all the same: --config ./{path.name}"]
        )
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise ConfigError([f"{path}: others can change it: chmod go-w {path.name}"])


def check_reference(path: Path, kind: str, target: str) -> None:
    """Raise `Unresolved` if the file at `path` may not use `${kind:target}`."""
    if kind not in _REFUSED or (kind == "file" and _lies_beside(path, target)):
        return
    raise Unresolved(
        "a configuration that merely lies in the current directory may not"
        f" {_REFUSED[kind]}; to allow it: --config ./{path.name}"
    )


def _lies_beside(path: Path, target: str) -> bool:
    """Return whether `target` is in the folder of `path`, or below it, symbolic links followed."""
    try:
        real = os.path.realpath(path.parent / target)
    except ValueError:  # a NUL
        return False
    return Path(real).is_relative_to(os.path.realpath(path.parent))
