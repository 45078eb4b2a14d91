"""A file store in a folder that does not exist yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.credentials.stores.file import FileStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sidekey"


@pytest.fixture
def store(folder: Path) -> FileStore:
    return FileStore(folder)


@pytest.fixture
def mine(store: FileStore) -> str:
    return store.fingerprint("mine")
