"""Folders and files that are not what they should be: nothing is trusted, and it is said why."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from clocks import Clock
from sources import Make
from token_server import TokenServer

from proxy.credentials.stores.file import FileStore
from proxy.errors import StoreError


def read_only(folder: Path) -> Path:
    """Nobody, not even root, can make a file there."""
    shutil.rmtree(folder)
    return Path("/proc/self")


def gone(folder: Path) -> Path:
    shutil.rmtree(folder)
    return folder


def a_link(folder: Path) -> Path:
    path = folder / "api.token"
    path.rename(folder / "elsewhere")
    path.symlink_to("elsewhere")
    return folder


def a_fifo(folder: Path) -> Path:
    (folder / "api.token").unlink()
    os.mkfifo(folder / "api.token", 0o600)
    return folder


def a_folder(folder: Path) -> Path:
    (folder / "api.token").unlink()
    (folder / "api.token").mkdir()
    return folder


def open_to_others(folder: Path) -> Path:
    (folder / "api.token").chmod(0o644)
    return folder


def a_lock_that_is_a_link(folder: Path) -> Path:
    for lock in (*folder.glob("*.lock"), folder / "turn"):
        lock.unlink()
        lock.symlink_to("/etc/passwd")
    return folder


@pytest.mark.case("S10")
@pytest.mark.parametrize("spoil", [a_link, a_fifo, a_folder, open_to_others, a_lock_that_is_a_link])
async def test_a_refresh_token_is_not_used_past_a_store_that_cannot_be_trusted(
    make: Make,
    server: TokenServer,
    clock: Clock,
    folder: Path,
    spoil: Callable[[Path], Path],
) -> None:
    await make(server.provider(), store=FileStore(folder)).token()
    source = make(server.provider(), store=FileStore(spoil(folder)))
    clock.move(hours=1)
    with pytest.raises(StoreError) as caught:
        await source.token()
    assert str(folder) in caught.value.detail
    assert caught.value.fix
    assert server.calls == {"sign-in": 1}


@pytest.mark.case("S10")
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody may write to")
@pytest.mark.parametrize("spoil", [read_only, gone])
async def test_what_can_be_bought_again_needs_no_place(
    make: Make,
    server: TokenServer,
    clock: Clock,
    folder: Path,
    spoil: Callable[[Path], Path],
) -> None:
    """`gone` comes back: an empty folder is no reason to refuse anything."""
    provider = server.provider(renews=False)
    await make(provider, store=FileStore(folder)).token()
    key = FileStore(folder)._seal()
    store = FileStore(spoil(folder))
    if spoil is read_only:
        store._known_seal = None, key  # the key was read before the disk became read-only
    source = make(provider, store=store)
    assert server.is_good(await source.token())
    assert source.saved is (spoil is gone)


@pytest.mark.case("S10")
async def test_a_file_of_another_user_is_refused(
    make: Make, server: TokenServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only root can give a file away, so it is this process that changes its user."""
    await make(server.provider(), store=FileStore(folder)).token()
    other_user = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other_user)
    with pytest.raises(StoreError, match="belongs to another user"):
        await make(server.provider(), store=FileStore(folder)).token()
