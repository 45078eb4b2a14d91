"""Starts the programs of `programs.py`, and strace that kills or starves them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from command_line import PATIENCE, ROOT

STRACE = shutil.which("strace")


def _may_trace() -> bool:
    """Tell whether strace is there, and may look at another process of ours."""
    if STRACE is None:
        return False
    with subprocess.Popen(["sleep", "60"]) as victim:
        tried = subprocess.run(
            ["timeout", "-s", "INT", "0.5", STRACE, "-p", str(victim.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        victim.kill()
    return "attached" in tried.stderr


SKIP_WITHOUT_STRACE = pytest.mark.skipif(
    not _may_trace(), reason="strace is not installed, or may not attach to processes"
)


class Program:
    """A program that runs and takes a line at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """Return the next line that it prints, an empty text after its end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stdout.readline()).decode().strip()

    def say(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def asked(self, line: str) -> str:
        self.say(line)
        return await self.line()

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def program(*arguments: str | Path) -> AsyncIterator[Program]:
    """Run one of the programs; it is killed if it still runs at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("programs.py")),
        *map(str, arguments),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def traced(pid: int, *options: str) -> AsyncIterator[None]:
    """Let strace interfere with the process while the block runs."""
    assert STRACE is not None
    tracer = await asyncio.create_subprocess_exec(
        STRACE, "-f", *options, "-p", str(pid), stderr=asyncio.subprocess.PIPE
    )
    assert tracer.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            while b"attached" not in await tracer.stderr.readline():
                pass
        yield
    finally:
        if tracer.returncode is None:
            tracer.terminate()
        await tracer.communicate()
