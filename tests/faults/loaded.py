"""A real `sidekey run` under load: what it uses, and whether others are served meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from command_line import Home, Started
from gateway_samples import keyed
from raw_client import RawAnswer, RawClient, message, raw_client
from raw_upstream import Converse, RawRequest, RawUpstream, answering, conversing

MIB = 2**20
SCALE = os.environ.get("SIDEKEY_TESTS", "")  # "", "ci" or "full"
TICKS = os.sysconf("SC_CLK_TCK")


def scaled(usually: int, in_ci: int, fully: int | None = None) -> int:
    """Return how many of something a test takes: fewer while somebody waits for it."""
    if SCALE == "full" and fully is not None:
        return fully
    return in_ci if SCALE in ("ci", "full") else usually


@dataclass(frozen=True)
class Loaded:
    """The running command, and the upstreams behind its routes `r` and `control`."""

    process: Started
    port: int
    upstream: RawUpstream

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def message(self, line: str, *fields: str, content: bytes = b"") -> bytes:
        return message(line, *fields, content=content, host=self.host)

    async def ask(self, line: str, *fields: str) -> RawAnswer:
        """Send one request over a connection of its own."""
        async with raw_client(self.port) as client:
            await client.send(self.message(line, *fields))
            return await client.answer()

    def asked(self, target: str) -> list[RawRequest]:
        """Return the requests for `target` that have arrived at the upstreams as a whole."""
        return [request for request in self.upstream.requests if request.target == target]

    async def stopped(self) -> str:
        """Stop the command in order, and return its log."""
        ended = await self.process.stopped()
        assert ended.code == 0, ended.err
        assert "Traceback" not in ended.err
        return ended.err

    @property
    def memory(self) -> int:
        """Bytes of memory that the process has now."""
        found = re.search(r"VmRSS:\s+(\d+) kB", self._proc("status"))
        assert found is not None
        return int(found[1]) * 1024

    @property
    def processor(self) -> float:
        """Seconds of processor time that the process has used."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def files(self) -> int:
        """How many files and sockets the process has open."""
        return len(os.listdir(f"/proc/{self.process.process.pid}/fd"))  # noqa: PTH208  as a count

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.process.pid}/{name}").read_text()

    @asynccontextmanager
    async def serving_others(self) -> AsyncIterator[None]:
        """Ask on, one request after the other, and check that each is answered."""
        over = asyncio.Event()

        async def ask_on() -> int:
            answered = 0
            while not over.is_set() or not answered:
                async with asyncio.timeout(10):
                    answer = await self.ask("GET /control/a")
                assert (answer.status, answer.content) == (200, b"ok")
                answered += 1
                await asyncio.sleep(0.02)
            return answered

        asking = asyncio.create_task(ask_on())
        try:
            yield
        finally:
            over.set()
            assert await asking > 0


@asynccontextmanager
async def loaded(
    folder: Path, converse: Converse | None = None, *, listen: str = "", more: str = ""
) -> AsyncIterator[Loaded]:
    """Run sidekey with `converse` behind route `r`, by default an upstream that answers at once.

    `listen` are keys of that section, `more` further lines of the route.
    """
    home = Home(folder)
    async with AsyncExitStack() as stack:
        sound = await stack.enter_async_context(answering())
        upstream = sound
        if converse is not None:
            upstream = await stack.enter_async_context(conversing(converse))
        texts = [keyed(upstream.origin, more=more), keyed(sound.origin, name="control")]
        upstreams = "\n".join(texts).replace("\n", "\n  ")
        home.configure(
            f"listen: {{{listen}}}\nstore: {{type: memory}}\nupstreams:\n  {upstreams}\n"
        )
        process = await stack.enter_async_context(home.serving())
        port = int((await process.address()).rpartition(":")[2])
        proxy = Loaded(process, port, upstream)
        for route in ("r", "control") if converse is None else ("control",):
            assert (await proxy.ask(f"GET /{route}/a")).status == 200
        yield proxy


@asynccontextmanager
async def clients(port: int, count: int) -> AsyncIterator[list[RawClient]]:
    """Hold `count` connections."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(raw_client(port)) for _ in range(count)]


@contextmanager
def as_many_files_as_allowed() -> Iterator[int]:
    """Raise this process's limit of open files, and say how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
