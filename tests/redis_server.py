"""A real Redis or Valkey server of its own for a test, on a free port or with TLS."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command_line import free_port

from proxy.credentials.secret import Secret

if TYPE_CHECKING:
    from proxy.credentials.stores.redis import RedisStore

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
SKIP_WITHOUT_REDIS = pytest.mark.skipif(SERVER is None, reason="no redis-server is installed")
KEY = Secret("store-key-of-tests-0123456789-0123")


class RedisServer:
    """Started at its first use; stopped when the test is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self, *options: str) -> None:
        """Start it, and wait until it answers; with `options` on its command line."""
        assert SERVER is not None
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = await asyncio.create_subprocess_exec(
            SERVER, *arguments, *options, cwd=self.folder, stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(20):
            while not await self._answers():  # noqa: ASYNC110  nobody tells when
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End it as a crash would: nothing is saved, connections are cut."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    def kill(self) -> None:
        """Begin what `stop` does, from where nobody can wait."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """Let it stand still: connections are accepted, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    async def command(self, *words: str | bytes) -> object:
        """Run one command."""
        from redis.asyncio import Redis

        async with Redis.from_url(self.url) as client:
            return await client.execute_command(*words)

    @asynccontextmanager
    async def store(self, url: str | None = None) -> AsyncIterator:
        """Yield a store at this server, which is started if need be."""
        from proxy.credentials.stores.redis import RedisStore

        if self._process is None:
            await self.start()
        store = RedisStore(Secret(url or self.url), KEY)
        try:
            yield store
        finally:
            await store.aclose()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    async def _answers(self) -> bool:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            return True
        return False


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[RedisStore]:
    """A store at the server."""
    async with redis.store() as store:
        yield store
