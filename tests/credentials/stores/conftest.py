"""A file store in a folder that does not exist yet."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis_server import redis

from proxy.credentials.stores.file import FileStore

__all__ = ["redis"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sidekey"


@pytest.fixture
def store(folder: Path) -> FileStore:
    return FileStore(folder)


@pytest.fixture
def mine(store: FileStore) -> str:
    return store.fingerprint("mine")
