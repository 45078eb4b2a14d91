"""What holds for a configuration that nobody named: it merely lies in the current directory.

It may be anybody's: that of a cloned repository, or of whoever wrote into `/tmp` first. So nobody
else may own or change it, and it runs no program: `sidekey status` was enough to run what it names.
Variables, files and the keyring it may use, as a file of npm or compose may: they do nothing until
somebody starts the proxy and sends requests.

A file that is named (`--config`, `SIDEKEY_CONFIG`) is somebody's decision, and into the folders of
the user's and the system's configuration no stranger writes. There owner and mode are not looked
at: a file that is mounted into a container keeps those of the host.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from proxy.config.references import Unresolved
from proxy.errors import ConfigError


def check_writers(path: Path, status: os.stat_result) -> None:
    """Raise `ConfigError` if others than we and root can change the file."""
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            [f"{path}: belongs to another user; to use it all the same: --config ./{path.name}"]
        )
    # Where everybody has a group of their own, with their own number, files are writable for it.
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid != status.st_uid
    if by_group or status.st_mode & stat.S_IWOTH:
        raise ConfigError([f"{path}: others can change it: chmod go-w {path.name}"])


def check_programs(path: Path) -> None:
    """Raise `Unresolved` for a file at `path` that would run a program."""
    raise Unresolved(
        "a configuration that merely lies in the current directory may not run programs;"
        f" to allow it: --config ./{path.name}"
    )
