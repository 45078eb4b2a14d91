"""`${exec:program arguments}`: what a program such as a password manager prints.

No shell reads the command, and the program gets none of sidekey's secrets. What it says on stderr
is not shown, and of the command its name only: either may hold something secret.
"""

from __future__ import annotations

import atexit
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from proxy.config.references import MAX_BYTES, Unresolved, as_text

TIMEOUT = 10.0  # seconds
# What password managers need to find their files, their agent and the keyring.
INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "SSH_AUTH_SOCK",
    "GPG_TTY",
    "GNUPGHOME",
)


def run(command: str, environ: Mapping[str, str], folder: Path) -> str:
    """Return what `command` prints, without one trailing newline; it runs in `folder`.

    Raises `Unresolved`, and ends the program with all that it started, after 10 seconds.
    """
    try:
        argv = shlex.split(command)
    except ValueError:
        raise Unresolved("a quote is not closed; a command cannot hold '}' either") from None
    if not argv:
        raise Unresolved("expected ${exec:program arguments}")
    process = _start(argv, {name: environ[name] for name in INHERITED if name in environ}, folder)
    deadline = time.monotonic() + TIMEOUT
    atexit.register(kill := partial(_kill, process))  # sidekey may end before the program does
    try:
        content = _printed(process, argv[0], deadline)
        code = process.wait(max(deadline - time.monotonic(), 0.0))
    except subprocess.TimeoutExpired:
        raise Unresolved(f"{argv[0]} did not end within {TIMEOUT:g} seconds") from None
    finally:
        atexit.unregister(kill)
        _end(process)
    if code != 0:
        ending = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise Unresolved(f"{argv[0]} failed with {ending}")
    return as_text(content, f"the output of {argv[0]}")


def _start(argv: list[str], environ: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start the program in a session of its own: without a terminal, no prompt can wait there."""
    try:
        return subprocess.Popen(  # noqa: S603  the configuration names it, as its owner wants
            argv,
            env=environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise Unresolved(f"cannot run {argv[0]}: {error.strerror}") from None
    except ValueError:  # a NUL
        raise Unresolved("this is no command") from None


def _printed(process: subprocess.Popen[bytes], name: str, deadline: float) -> bytes:
    """Return what is printed up to the limit; raise `TimeoutExpired` if it takes too long."""
    assert process.stdout is not None
    content = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(deadline - time.monotonic(), 0.0)):
            chunk = os.read(process.stdout.fileno(), MAX_BYTES)
            content += chunk
            if len(content) > MAX_BYTES:
                raise Unresolved(f"the output of {name} is larger than 64 KiB")
            if not chunk:
                return content
    raise subprocess.TimeoutExpired(name, TIMEOUT)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and its children, unless it has ended by itself."""
    assert process.stdout is not None
    process.stdout.close()
    if process.returncode is None:  # not yet waited for: the number of its group is still its own
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
