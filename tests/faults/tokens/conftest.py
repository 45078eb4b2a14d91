"""Sources against a strict token server, and stores on disk and in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from clocks import Clock
from redis_server import redis, store
from source_fixtures import make
from token_server import TokenServer, token_server

from proxy.credentials.stores.file import FileStore

__all__ = ["make", "redis", "store"]


@pytest.fixture
async def server(clock: Clock) -> AsyncIterator[TokenServer]:
    """A token server whose time is that of the test's clock."""
    async with token_server(now=lambda: clock().timestamp()) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sidekey"


@pytest.fixture
def files(folder: Path) -> FileStore:
    """A file store in a folder that does not exist yet."""
    return FileStore(folder)
