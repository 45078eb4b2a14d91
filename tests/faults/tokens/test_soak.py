"""Hours in minutes: short lives, faults of every kind, reloads and kills, and nothing is left over.

SIDEKEY_SOAK=3600 python -m pytest tests/faults/tokens/test_soak.py -s    # for an hour
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from command_line import Home, Started
from loaded import MIB, scaled
from raw_upstream import response
from token_server import CUT_AFTER, CUT_BEFORE, Fault, TokenServer, token_server

SECONDS = float(os.environ.get("SIDEKEY_SOAK") or scaled(25, 180))
EVERY = 20.0 if SECONDS > 60 else 8.0  # seconds between two reloads, and between two kills
SETTLING = 5.0  # seconds of warming up, and of quiet before the last look
CONFIG = """\
listen: {{port: {port}}}
upstreams:
  {upstreams}
  changed: {{base_url: 'http://127.0.0.1:9', deny: [{{paths: [/{number}]}}],
    provider: {{type: api_key, keys: '${{KEY}}'}}}}
"""


@dataclass
class Windows:
    """When failures are expected: from a fault on, until it is over."""

    ends: list[tuple[float, float]] = field(default_factory=list)
    open_since: float | None = None

    def begin(self) -> None:
        self.open_since = self.open_since or time.monotonic()

    def end(self, after: float = 0.0) -> None:
        if self.open_since is not None:
            self.ends.append((self.open_since, time.monotonic() + after))
            self.open_since = None

    def hold(self, began: float, ended: float) -> bool:
        """Tell whether a request that ran from `began` to `ended` met one."""
        if self.open_since is not None and ended >= self.open_since:
            return True
        return any(began <= end and ended >= start for start, end in self.ends)


@dataclass
class Load:
    """Requests one after the other, and what became of them."""

    good: int = 0
    failed: list[tuple[float, float, str]] = field(default_factory=list)

    async def run(self, url: str) -> None:
        connector = aiohttp.TCPConnector(force_close=True)
        timeout = aiohttp.ClientTimeout(total=15)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while True:
                began = time.monotonic()
                try:
                    async with session.get(url) as answer:
                        text = await answer.text()
                        said = f"{answer.status} {answer.headers.get('Sidekey-Error', text)}"
                except (aiohttp.ClientError, TimeoutError) as error:
                    said = type(error).__name__
                if said == "200 ok":
                    self.good += 1
                else:
                    self.failed.append((began, time.monotonic(), said))
                await asyncio.sleep(0.02)

    def unexpected(self, *windows: Windows) -> list[str]:
        return [
            said
            for began, ended, said in self.failed
            if not any(window.hold(began, ended) for window in windows)
        ]


class Soak:
    """A proxy that lives through it all, one that is killed again and again, and their server."""

    def __init__(self, home: Home, server: TokenServer) -> None:
        self.home = home
        self.server = server
        self.faults = Windows()
        self.kills = Windows()
        self.draws = random.Random(7)
        self.reloads = 0
        self.current: Fault | None = None
        server.fault = self.fault
        server.issued_one = self.issued

    def fault(self) -> Fault | None:
        """Let one token request in five fail, each in another way."""
        self.current = None
        if self.draws.random() >= 0.2:
            return None
        self.faults.begin()
        self.current = self.draws.choice(
            [
                response("503 Busy"),
                response("429 Slow", b"", "Retry-After: 1"),
                response("200 OK", b"<html>"),
                CUT_BEFORE,
                CUT_AFTER,
                self.draws.uniform(0.5, 3.0),
            ]
        )
        return self.current

    def issued(self) -> None:
        """A token is on its way: the fault is over once it has arrived, if it does."""
        if self.current is not CUT_AFTER:
            self.faults.end(after=self.current if isinstance(self.current, float) else 0.1)

    def configure(self, port: int) -> None:
        self.reloads += 1
        upstreams = self.server.upstreams("r")
        self.home.configure(CONFIG.format(port=port, upstreams=upstreams, number=self.reloads))

    async def reload_for_ever(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self.configure(0)

    async def kill_for_ever(self, stack: AsyncExitStack, load: Load) -> None:
        """Run the second proxy, and kill it in whatever it does."""
        while True:
            proxy = await stack.enter_async_context(self.home.serving(KEY="canary-key"))
            loading = asyncio.create_task(load.run(f"{await proxy.address()}/r/a"))
            await asyncio.sleep(0.3)
            self.kills.end()
            await asyncio.sleep(EVERY)
            self.kills.begin()
            proxy.process.kill()
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)


@dataclass(frozen=True)
class Usage:
    """What a process uses."""

    memory: int
    files: int
    tasks: int


async def usage(proxy: Started) -> Usage:
    pid = proxy.process.pid
    status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240  no disk
    memory = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert memory is not None
    told = len(re.findall(r"tasks: \d+\.", proxy.err.text))
    proxy.process.send_signal(signal.SIGUSR2)
    await proxy.err.shows(r"(?s)" + r"tasks: \d+\..*" * told + r"tasks: \d+\.")
    tasks = int(re.findall(r"tasks: (\d+)\.", proxy.err.text)[-1])
    return Usage(int(memory[1]) * 1024, len(os.listdir(f"/proc/{pid}/fd")), tasks)  # noqa: PTH208


@asynccontextmanager
async def running(*coroutines: object) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
        assert not any(task.done() for task in tasks), [task.exception() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.timeout(SECONDS + 120)
async def test_a_proxy_soaks_in_faults_and_comes_out_as_it_went_in(home: Home) -> None:
    home.program = [str(Path(__file__).with_name("telling_proxy.py"))]
    loads = Load(), Load()
    async with token_server(life=5.0) as server, AsyncExitStack() as stack:
        soak = Soak(home, server)
        soak.configure(0)
        steady = await stack.enter_async_context(home.serving(KEY="canary-key"))
        url = f"{await steady.address()}/r/a"
        async with running(loads[0].run(url)):
            await asyncio.sleep(SETTLING)
        await asyncio.sleep(1.0)
        before = await usage(steady)
        soak.kills.begin()
        async with running(
            loads[0].run(url), soak.reload_for_ever(), soak.kill_for_ever(stack, loads[1])
        ):
            await asyncio.sleep(SECONDS)
        await asyncio.sleep(SETTLING)
        after = await usage(steady)
        ended = await steady.stopped()
    good = sum(load.good for load in loads)
    unexpected = loads[0].unexpected(soak.faults) + loads[1].unexpected(soak.faults, soak.kills)
    failed = sum(len(load.failed) for load in loads)
    print(
        f"\n{good} good, {failed} failed in fault windows, {len(unexpected)} outside of them;"
        f" {dict(server.calls)}; before {before}, after {after}"
    )
    assert good > SECONDS * 10
    assert len(unexpected) <= good / 1000, unexpected[:20]
    assert after.memory - before.memory < 8 * MIB
    assert abs(after.files - before.files) <= 5
    assert abs(after.tasks - before.tasks) <= 5
    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert "internal error" not in ended.err
