"""What the process does to itself before it reads secrets."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress

PR_SET_DUMPABLE = 4  # prctl(2)


def keep_memory_private() -> None:
    """Write no core dumps, and let no other process of the same user read memory or environment.

    The second half is Linux's; root can read both all the same. Python cannot overwrite a text,
    so that memory is all there is to protect.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def allow_many_connections() -> None:
    """Raise the limit of open files as far as it goes: each connection takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS calls a limit infinite that is not
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def take_from_environment(names: Iterable[str]) -> None:
    """Remove variables, so that no program that is started from here inherits them.

    The block that the kernel keeps of the start (`/proc/PID/environ`) stays as it was: root can
    read it as long as the process lives.
    """
    for name in names:
        os.environ.pop(name, None)
