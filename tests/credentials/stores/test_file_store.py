"""The file store keeps secrets encrypted, private and whole, whatever happens."""

# ruff: noqa: ASYNC240  between two calls of the store, a test looks at the disk

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.credentials.secret import Secret
from proxy.credentials.stores.file import FileStore, default_folder
from proxy.credentials.token import Token
from proxy.errors import StoreError

TOKEN = Token(
    Secret("canary-access-7d1f"),
    refresh_token=Secret("canary-refresh-93ab"),
    outputs={"user": "@canary-user-55e0"},
)
CANARIES = (b"canary", b"access", b"refresh", b"value", b"outputs")
KEY = Secret("canary-key-0123456789-0123456789-0123")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
async def entry(store: FileStore, folder: Path, mine: str) -> Path:
    await store.save("jquants", mine, TOKEN)
    return folder / "jquants.token"


@pytest.fixture
def umask_0() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


# Where the entries are, and who may see them


def test_the_default_folder_is_in_the_state_home() -> None:
    assert default_folder({"XDG_STATE_HOME": "/x", "HOME": "/h"}) == Path("/x/sidekey")
    assert default_folder({"HOME": "/h"}) == Path("/h/.local/state/sidekey")


@pytest.mark.parametrize("ignored", ["", "relative/state"])
def test_an_empty_or_relative_state_home_is_ignored(ignored: str) -> None:
    expected = Path("/h/.local/state/sidekey")
    assert default_folder({"XDG_STATE_HOME": ignored, "HOME": "/h"}) == expected


def test_without_a_home_there_is_no_default_folder() -> None:
    with pytest.raises(StoreError) as caught:
        default_folder({})
    assert "XDG_STATE_HOME" in str(caught.value.fix)


async def test_reading_makes_nothing(folder: Path, store: FileStore) -> None:
    assert await store.load("jquants", "f") is None
    assert await store.delete("jquants") is False
    assert store.version("jquants") is None
    assert not folder.parent.exists()


async def test_folders_are_0700_and_files_0600_even_with_umask_0(
    umask_0: None, folder: Path, store: FileStore
) -> None:
    await store.save("jquants", store.fingerprint("mine"), TOKEN)
    assert (mode(folder.parent), mode(folder)) == (0o700, 0o700)
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "key": 0o600,
        "jquants.token": 0o600,
    }


@pytest.mark.parametrize("name", ["../jquants", "a/b", "", ".", "..", ".hidden", "a\0b", "a\n"])
async def test_a_name_never_leaves_the_folder(store: FileStore, mine: str, name: str) -> None:
    with pytest.raises(StoreError):
        await store.save(name, mine, TOKEN)
    with pytest.raises(StoreError):
        await store.delete(name)


async def test_a_name_may_be_that_of_the_key_file(store: FileStore, mine: str) -> None:
    await store.save("key", mine, TOKEN)
    assert await store.load("key", mine) == TOKEN
    assert store.fingerprint("mine") == mine


# Encryption


async def test_no_file_holds_a_secret_in_the_clear(entry: Path, folder: Path, mine: str) -> None:
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not [word for word in (*CANARIES, b"mine", mine.encode()) if word in content]


async def test_the_same_token_never_looks_the_same(
    store: FileStore, entry: Path, mine: str
) -> None:
    before = entry.read_bytes()
    await store.save("jquants", mine, TOKEN)
    after = entry.read_bytes()
    assert before[:40] == after[:40]
    assert before[40:52] != after[40:52]
    assert before[52:] != after[52:]


async def test_a_changed_bit_in_any_byte_is_an_error_and_never_an_empty_store(
    store: FileStore, entry: Path, mine: str
) -> None:
    whole = entry.read_bytes()
    for position in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[position] ^= 1 << position % 8
        entry.write_bytes(spoilt)
        with pytest.raises(StoreError):
            await store.load("jquants", mine)
        assert entry.read_bytes() == spoilt
    entry.write_bytes(whole)
    assert await store.load("jquants", mine) == TOKEN


@pytest.mark.parametrize("length", [0, 7, 8, 39, 40, 51, 52, 60, -1])
async def test_a_cut_entry_is_an_error(
    store: FileStore, entry: Path, mine: str, length: int
) -> None:
    entry.write_bytes(entry.read_bytes()[:length])
    with pytest.raises(StoreError):
        await store.load("jquants", mine)
    with pytest.raises(StoreError):
        await store.delete_foreign("jquants", mine)


async def test_an_entry_under_another_name_is_an_error(
    store: FileStore, entry: Path, folder: Path, mine: str
) -> None:
    """Whoever can write to the folder cannot send one upstream's token to another."""
    entry.rename(folder / "evil.token")
    with pytest.raises(StoreError):
        await store.load("evil", mine)


async def test_an_unreadable_entry_says_which_file_and_what_to_do(
    store: FileStore, entry: Path, mine: str
) -> None:
    entry.write_bytes(b"canary-in-the-file")
    with pytest.raises(StoreError) as caught:
        await store.load("jquants", mine)
    assert str(entry) in caught.value.detail
    assert "sidekey logout jquants" in str(caught.value.fix)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


async def test_an_unreadable_entry_can_be_forgotten_and_replaced(
    store: FileStore, entry: Path, mine: str
) -> None:
    entry.write_bytes(b"garbage")
    assert await store.delete("jquants") is True
    assert await store.load("jquants", mine) is None
    await store.save("jquants", mine, TOKEN)
    assert await store.load("jquants", mine) == TOKEN


async def test_another_key_is_an_error(entry: Path, folder: Path, mine: str) -> None:
    before = entry.read_bytes()
    with pytest.raises(StoreError):
        await FileStore(folder, KEY).load("jquants", mine)
    assert entry.read_bytes() == before


# The key


async def test_a_given_key_makes_no_key_file(folder: Path) -> None:
    store = FileStore(folder, KEY)
    await store.save("jquants", store.fingerprint("mine"), TOKEN)
    assert [path.name for path in folder.iterdir()] == ["jquants.token"]
    again = FileStore(folder, Secret(KEY.reveal()))
    assert await again.load("jquants", again.fingerprint("mine")) == TOKEN


async def test_a_made_key_lasts_and_may_move_into_the_configuration(
    entry: Path, folder: Path, mine: str
) -> None:
    assert await FileStore(folder).load("jquants", mine) == TOKEN
    digits = Secret((folder / "key").read_text().strip())
    (folder / "key").unlink()
    assert await FileStore(folder, digits).load("jquants", mine) == TOKEN


def test_a_short_key_is_refused_without_being_shown(folder: Path) -> None:
    with pytest.raises(StoreError) as caught:
        FileStore(folder, Secret("canary" * 5 + "!"))
    assert "32" in caught.value.detail
    assert "canary" not in f"{caught.value.detail} {caught.value.fix}"


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"canary", b"0" * 64, b"0" * 63 + b"\n", b"G" * 64 + b"\n", b"0" * 64 + b"\n\n"],
)
def test_a_malformed_key_file_is_refused_and_kept(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True)
    key = folder / "key"
    key.write_bytes(content)
    key.chmod(0o600)
    with pytest.raises(StoreError) as caught:
        FileStore(folder).fingerprint("mine")
    assert str(key) in caught.value.detail
    assert caught.value.fix
    assert "canary" not in f"{caught.value.detail} {caught.value.fix}"
    assert key.read_bytes() == content


async def test_threads_that_make_the_key_at_once_agree(store: FileStore) -> None:
    fingerprints = await asyncio.gather(
        *(asyncio.to_thread(store.fingerprint, "mine") for _ in range(8))
    )
    assert set(fingerprints) == {store.fingerprint("mine")}


# Files that somebody else could have read or planted


def open_to_the_group(path: Path) -> None:
    path.chmod(0o640)


def writable_by_others(path: Path) -> None:
    path.chmod(0o602)


def symlink(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def dangling_symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(0o700)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


EXPOSED = [open_to_the_group, writable_by_others, symlink, dangling_symlink, a_folder, fifo]


@pytest.mark.parametrize("expose", EXPOSED)
@pytest.mark.parametrize("name", ["key", "jquants.token"])
async def test_an_exposed_file_is_refused_with_what_to_do(
    entry: Path, folder: Path, mine: str, name: str, expose: Callable[[Path], None]
) -> None:
    expose(folder / name)
    with pytest.raises(StoreError) as caught:
        await FileStore(folder).load("jquants", mine)
    assert str(folder / name) in caught.value.detail
    assert str(folder / name) in str(caught.value.fix)


async def test_chmod_600_is_what_helps_a_file_that_is_open_to_others(
    store: FileStore, entry: Path, mine: str
) -> None:
    entry.chmod(0o644)
    with pytest.raises(StoreError) as caught:
        await store.load("jquants", mine)
    assert caught.value.fix == f"chmod 600 {entry}"
    entry.chmod(0o600)
    assert await store.load("jquants", mine) == TOKEN


async def test_a_file_of_another_user_is_refused(
    entry: Path, folder: Path, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only root can give a file away, so it is this process that changes its user."""
    other_user = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other_user)
    with pytest.raises(StoreError, match=f"{entry} belongs to another user"):
        await FileStore(folder).load("jquants", mine)
    with pytest.raises(StoreError, match=f"{folder / 'key'} belongs to another user"):
        FileStore(folder).fingerprint("mine")


async def test_saving_replaces_a_symlink_and_leaves_its_target_alone(
    store: FileStore, entry: Path, mine: str, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    entry.unlink()
    entry.symlink_to(victim)
    await store.save("jquants", mine, TOKEN)
    assert victim.read_text() == "untouched"
    assert not entry.is_symlink()


# Writing


async def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore(tmp_path / "file", KEY)
    with pytest.raises(StoreError) as caught:
        await store.save("jquants", store.fingerprint("mine"), TOKEN)
    assert str(tmp_path / "file") in str(caught.value.fix)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody may write to")
async def test_a_folder_that_cannot_be_written_is_an_error() -> None:
    store = FileStore(Path("/proc/self"), KEY)
    with pytest.raises(StoreError) as caught:
        await store.save("jquants", store.fingerprint("mine"), TOKEN)
    assert "writable" in str(caught.value.fix)


async def test_readers_meet_whole_entries_while_others_write(store: FileStore, mine: str) -> None:
    generations = [Token(Secret("a" * 5_000)), Token(Secret("b" * 50)), Token(Secret("c" * 900))]
    await store.save("jquants", mine, generations[0])

    async def write(token: Token) -> None:
        for _ in range(10):
            await store.save("jquants", mine, token)

    async def read() -> None:
        for _ in range(30):
            assert await store.load("jquants", mine) in generations

    await asyncio.gather(*(write(token) for token in generations), read(), read())


async def test_a_folder_that_is_removed_meanwhile_comes_back_with_a_key_that_fits(
    tmp_path: Path,
) -> None:
    """What a running proxy writes afterwards must open for the next process."""
    folder = tmp_path / "state"
    running = FileStore(folder)
    await running.save("api", running.fingerprint("config"), Token(Secret("first")))
    shutil.rmtree(folder)
    second = Token(Secret("second"))
    await running.save("api", running.fingerprint("config"), second)
    following = FileStore(folder)
    assert await following.load("api", following.fingerprint("config")) == second
