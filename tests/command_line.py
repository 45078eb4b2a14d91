"""Runs sidekey's commands as processes of their own, in an empty home folder."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 30.0  # seconds until a command that says nothing counts as stuck


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


class Output:
    """One stream of a running command, collected as it comes."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._content = b""
        self._ended = False
        self._more = asyncio.Event()
        self._collecting = asyncio.create_task(self._collect(reader))

    @property
    def text(self) -> str:
        return self._content.decode(errors="replace")

    async def shows(self, pattern: str) -> re.Match[str]:
        """Wait until `pattern` can be found in what was said."""
        while (found := re.search(pattern, self.text, re.MULTILINE)) is None:
            assert not self._ended, f"never said {pattern!r}:\n{self.text}"
            self._more.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), PATIENCE)
            assert self._more.is_set(), f"does not say {pattern!r}:\n{self.text}"
        return found

    async def whole(self) -> str:
        await self._collecting
        return self.text

    async def _collect(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):  # a terminal ends in EIO
            while chunk := await reader.read(65536):
                self._content += chunk
                self._more.set()
        self._ended = True
        self._more.set()


class Started:
    """A command that is still running."""

    def __init__(self, process: asyncio.subprocess.Process, out: Output, err: Output) -> None:
        self.process = process
        self.out = out
        self.err = err

    async def ended(self) -> Ended:
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            return Ended(code, await self.out.whole(), await self.err.whole())

    async def stopped(self, by: signal.Signals = signal.SIGTERM) -> Ended:
        """Send a signal, and return what the command left behind."""
        self.process.send_signal(by)
        return await self.ended()

    async def event(self, name: str) -> dict[str, Any]:
        """Wait for the structured log line of that event."""
        line = await self.err.shows(rf'^\{{.*"event": "{re.escape(name)}".*\}}$')
        return json.loads(line[0])

    async def address(self) -> str:
        """Wait until a proxy listens; return the URL or socket of its main listener."""
        return (await self.event("listening"))["addresses"][0]

    @property
    def peak(self) -> int:
        """The most memory that the process ever had, in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) * 1024

    @property
    def limits(self) -> str:
        """The process's resource limits, as Linux lists them."""
        return Path(f"/proc/{self.process.pid}/limits").read_text()

    @property
    def argv(self) -> str:
        return Path(f"/proc/{self.process.pid}/cmdline").read_bytes().decode()


class Home:
    """A home folder of its own; the working folder is in it, and holds the configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.state = folder / "state" / "sidekey"
        self.program = ["-m", "proxy"]
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "TERM": "xterm-256color",
        }

    def configure(self, text: str, *, mode: int = 0o600) -> Path:
        """Write `sidekey.yaml` into the working folder."""
        path = self.work / "sidekey.yaml"
        path.write_text(text)
        path.chmod(mode)
        return path

    async def run(self, *arguments: str, **environ: str) -> Ended:
        """Run a command to its end."""
        async with self.started(*arguments, **environ) as command:
            return await command.ended()

    async def run_all(self, *commands: tuple[str, ...], **environ: str) -> list[Ended]:
        """Run commands at once."""
        running = (self.run(*arguments, **environ) for arguments in commands)
        return await asyncio.gather(*running)

    @asynccontextmanager
    async def started(
        self, *arguments: str, terminal: bool = False, **environ: str
    ) -> AsyncIterator[Started]:
        """Start a command; with `terminal`, its stderr is one. It is killed if it still runs."""
        async with _started(
            [sys.executable, *self.program, *arguments],
            terminal=terminal,
            cwd=self.work,
            environ=self.environ | environ,
        ) as command:
            yield command

    @asynccontextmanager
    async def serving(self, *arguments: str, **environ: str) -> AsyncIterator[Started]:
        """Start `sidekey run` on a free port and wait until it listens."""
        given = arguments if "--unix-socket" in arguments else ("--port", "0", *arguments)
        async with self.started("run", *given, **environ) as proxy:
            await proxy.address()
            yield proxy

    async def shell(self, line: str, **environ: str) -> Ended:
        """Run a line in bash, as a person who pasted it."""
        async with _started(
            ["bash", "-c", line], terminal=False, cwd=self.work, environ=self.environ | environ
        ) as command:
            return await command.ended()

    async def python(self, code: str, *arguments: str) -> Ended:
        """Run Python code in a process of its own."""
        async with _started(
            [sys.executable, "-c", code, *arguments],
            terminal=False,
            cwd=self.work,
            environ=self.environ,
        ) as command:
            return await command.ended()


@asynccontextmanager
async def _started(
    argv: list[str], *, terminal: bool, cwd: Path, environ: dict[str, str]
) -> AsyncIterator[Started]:
    master, slave = os.openpty() if terminal else (None, None)
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        preexec_fn=heed_ctrl_c,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if slave is None else slave,
    )
    assert process.stdout is not None
    async with _reader(process.stderr, master, slave) as stderr:
        started = Started(process, Output(process.stdout), Output(stderr))
        try:
            yield started
        finally:
            if process.returncode is None:
                process.kill()
            await started.ended()


@asynccontextmanager
async def _reader(
    pipe: asyncio.StreamReader | None, master: int | None, slave: int | None
) -> AsyncIterator[asyncio.StreamReader]:
    if pipe is not None:
        yield pipe
        return
    assert master is not None
    assert slave is not None
    os.close(slave)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(master, "rb", buffering=0)
    )
    try:
        yield reader
    finally:
        transport.close()


def heed_ctrl_c() -> None:
    """Undo what a shell does to the commands that it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something in another process that tells nobody."""
    async with asyncio.timeout(PATIENCE):
        while not happened():  # noqa: ASYNC110  that is why
            await asyncio.sleep(0.02)


def workers_of(proxy: Started) -> list[int]:
    """Return the pids of the processes that serve."""
    asked = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(proxy.process.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(pid) for pid in asked.stdout.split()]


def free_port() -> int:
    """Return a port that nobody listens on, for what cannot be told to take any.

    It is below those that kernels give away by themselves, to somebody else meanwhile.
    """
    while True:
        port = random.randint(15_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
