"""The file store keeps secrets encrypted, private and whole, whatever happens."""

# ruff: noqa: ASYNC240  between two calls of the store, a test looks at the disk

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.credentials.attempts import Attempt, Attempts
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores.file import FileStore, default_folder
from proxy.credentials.token import Token
from proxy.errors import EntryLost, StoreError, Superseded
from proxy.events import EntryPutAside, Event

TOKEN = Token(
    Secret("canary-access-7d1f"),
    refresh_token=Secret("canary-refresh-93ab"),
    outputs={"user": "@canary-user-55e0"},
)
ENTRY = Entry(TOKEN)
SECOND = Entry(Token(Secret("canary-second-0c3f")), 2)
THIRD = Entry(Token(Secret("canary-third-77aa")), 3)
CANARIES = (b"canary", b"access", b"refresh", b"value", b"outputs")
TRIED = Attempts((Attempt(datetime(2026, 3, 1, tzinfo=UTC), 1, "refused", "canary-refusal"),))
KEY = Secret("canary-key-0123456789-0123456789-0123")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
async def entry(store: FileStore, folder: Path, mine: str) -> Path:
    """The only entry of the store."""
    await store.save("jquants", mine, ENTRY)
    return folder / "jquants.token"


@pytest.fixture
async def following(store: FileStore, entry: Path, mine: str) -> Path:
    """An entry that has one before it."""
    await store.save("jquants", mine, SECOND)
    return entry


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
    assert await store.attempts("f") == Attempts()
    await store.tidy()
    assert not folder.parent.exists()


async def test_folders_are_0700_and_files_0600_even_with_umask_0(
    umask_0: None, folder: Path, store: FileStore
) -> None:
    mine = store.fingerprint("mine")
    await store.save("jquants", mine, ENTRY)
    await store.save("jquants", mine, SECOND)
    await store.note(mine, TRIED)
    async with store.lock(mine):
        pass
    assert (mode(folder.parent), mode(folder)) == (0o700, 0o700)
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "key",
        "turn",
        "jquants.token",
        "jquants.token.prev",
        f"{mine[:32]}.attempts",
        f"{mine[:32]}.lock",
    }
    assert {mode(path) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["../jquants", "a/b", "", ".", "..", ".hidden", "a\0b", "a\n"])
async def test_a_name_never_leaves_the_folder(store: FileStore, mine: str, name: str) -> None:
    with pytest.raises(StoreError):
        await store.save(name, mine, ENTRY)
    with pytest.raises(StoreError):
        await store.delete(name)


async def test_a_name_may_be_that_of_the_key_file(store: FileStore, mine: str) -> None:
    await store.save("key", mine, ENTRY)
    assert await store.load("key", mine) == ENTRY
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
    await store.save("jquants", mine, replace(ENTRY, generation=2))
    after = entry.read_bytes()
    assert before[:40] == after[:40]
    assert before[40:52] != after[40:52]
    assert before[52:] != after[52:]


async def test_no_attempt_stands_there_in_the_clear(
    store: FileStore, folder: Path, mine: str
) -> None:
    await store.note(mine, TRIED)
    assert b"canary" not in (folder / f"{mine[:32]}.attempts").read_bytes()


# Damaged entries


def put_aside(folder: Path) -> list[bytes]:
    """What damaged entries held, as they are kept."""
    return [path.read_bytes() for path in folder.glob("*.corrupt-*")]


async def test_whatever_bit_has_changed_the_entry_before_takes_its_place(
    store: FileStore, following: Path, folder: Path, mine: str
) -> None:
    whole = following.read_bytes()
    for position in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[position] ^= 1 << position % 8
        following.write_bytes(spoilt)
        assert await store.load("jquants", mine) == ENTRY
        assert put_aside(folder) == [bytes(spoilt)]
        assert await store.load("jquants", mine) == ENTRY, "it stands there as if nothing was"
        await store.delete("jquants")
        await store.save("jquants", mine, ENTRY)
        await store.save("jquants", mine, SECOND)


@pytest.mark.parametrize("length", [0, 7, 8, 39, 40, 51, 52, 60, -1])
async def test_of_a_cut_entry_the_one_before_takes_the_place(
    store: FileStore, following: Path, folder: Path, mine: str, length: int
) -> None:
    cut = following.read_bytes()[:length]
    following.write_bytes(cut)
    assert await store.load("jquants", mine) == ENTRY
    assert put_aside(folder) == [cut]


async def test_a_damaged_entry_without_one_before_is_kept_and_told(
    folder: Path, entry: Path, mine: str
) -> None:
    events: list[Event] = []
    spoilt = entry.read_bytes()[:-1]
    entry.write_bytes(spoilt)
    with pytest.raises(EntryLost):
        await FileStore(folder, observe=events.append).load("jquants", mine)
    (event,) = events
    assert isinstance(event, EntryPutAside)
    assert (event.upstream, event.recovered) == ("jquants", False)
    assert Path(event.path).read_bytes() == spoilt


async def test_where_both_are_damaged_the_later_one_is_kept_aside(
    store: FileStore, following: Path, folder: Path, mine: str
) -> None:
    for path in (following, folder / "jquants.token.prev"):
        path.write_bytes(path.read_bytes()[:-1])
    spoilt = following.read_bytes()
    with pytest.raises(EntryLost):
        await store.load("jquants", mine)
    assert put_aside(folder) == [spoilt]


async def test_a_save_goes_on_from_what_can_be_read(
    store: FileStore, following: Path, folder: Path, mine: str
) -> None:
    """What is damaged never becomes the entry before."""
    following.write_bytes(b"garbage")
    await store.save("jquants", mine, THIRD)
    assert await store.load("jquants", mine) == THIRD
    following.write_bytes(b"garbage")
    assert await store.load("jquants", mine) == ENTRY


async def test_processes_that_meet_a_damaged_entry_at_once_put_it_aside_once(
    folder: Path, following: Path, mine: str
) -> None:
    events: list[Event] = []
    following.write_bytes(b"garbage")
    stores = [FileStore(folder, observe=events.append) for _ in range(8)]
    loaded = await asyncio.gather(*(store.load("jquants", mine) for store in stores))
    assert loaded == [ENTRY] * 8
    assert len(events) == len(put_aside(folder)) == 1


async def test_an_entry_under_another_name_is_not_handed_out(
    store: FileStore, entry: Path, folder: Path, mine: str
) -> None:
    """Whoever can write to the folder cannot send one upstream's token to another."""
    entry.rename(folder / "evil.token")
    with pytest.raises(EntryLost):
        await store.load("evil", mine)
    assert len(put_aside(folder)) == 1


async def another_key(store: FileStore, entry: Path) -> FileStore:
    return FileStore(entry.parent, KEY)


async def a_later_version(store: FileStore, entry: Path) -> FileStore:
    entry.write_bytes(b"SIDEKEY\x02" + entry.read_bytes()[8:])
    return store


@pytest.mark.parametrize("change", [another_key, a_later_version])
async def test_what_may_be_good_but_not_for_us_is_an_error_and_left_as_it_is(
    store: FileStore,
    entry: Path,
    change: Callable[[FileStore, Path], Awaitable[FileStore]],
) -> None:
    """A mistaken key costs nothing: with the right one, everything is there again."""
    ours = await change(store, entry)
    before = entry.read_bytes()
    with pytest.raises(StoreError) as caught:
        await ours.load("jquants", ours.fingerprint("mine"))
    assert str(entry) in caught.value.detail
    assert "sidekey logout jquants" in str(caught.value.fix)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert entry.read_bytes() == before
    assert put_aside(entry.parent) == []


async def test_logout_forgets_damaged_and_earlier_entries_too(
    store: FileStore, following: Path, folder: Path, mine: str
) -> None:
    following.write_bytes(b"garbage")
    assert await store.load("jquants", mine) == ENTRY
    await store.save("jquants", mine, SECOND)
    assert await store.delete("jquants") is True
    assert {path.name for path in folder.iterdir()} == {"key", "turn"}


async def test_damaged_attempts_are_none(store: FileStore, folder: Path, mine: str) -> None:
    await store.note(mine, TRIED)
    path = folder / f"{mine[:32]}.attempts"
    path.write_bytes(path.read_bytes()[:-1])
    assert await store.attempts(mine) == Attempts()


# What killed processes leave behind


async def test_tidying_removes_old_temporary_files_and_old_attempts_only(
    store: FileStore, following: Path, folder: Path, mine: str
) -> None:
    abandoned, under_way = folder / ".jquants.token.00.tmp", folder / ".jquants.token.01.tmp"
    for path in (abandoned, under_way):
        path.write_bytes(b"half")
    await store.note(mine, TRIED)
    long_ago = folder / f"{'f' * 32}.attempts"
    long_ago.write_bytes(b"")
    for path in (abandoned, long_ago, following):
        os.utime(path, (0, 0))
    await store.tidy()
    names = {path.name for path in folder.iterdir()}
    assert not names & {abandoned.name, long_ago.name}
    assert names >= {under_way.name, f"{mine[:32]}.attempts", "jquants.token"}


# The key


async def test_a_given_key_makes_no_key_file(folder: Path) -> None:
    store = FileStore(folder, KEY)
    await store.save("jquants", store.fingerprint("mine"), ENTRY)
    assert {path.name for path in folder.iterdir()} == {"jquants.token", "turn"}
    again = FileStore(folder, Secret(KEY.reveal()))
    assert await again.load("jquants", again.fingerprint("mine")) == ENTRY


async def test_a_made_key_lasts_and_may_move_into_the_configuration(
    entry: Path, folder: Path, mine: str
) -> None:
    assert await FileStore(folder).load("jquants", mine) == ENTRY
    digits = Secret((folder / "key").read_text().strip())
    (folder / "key").unlink()
    assert await FileStore(folder, digits).load("jquants", mine) == ENTRY


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
    assert await store.load("jquants", mine) == ENTRY


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
    await store.save("jquants", mine, ENTRY)
    assert victim.read_text() == "untouched"
    assert not entry.is_symlink()


# Writing


async def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore(tmp_path / "file", KEY)
    with pytest.raises(StoreError) as caught:
        await store.save("jquants", store.fingerprint("mine"), ENTRY)
    assert str(tmp_path / "file") in str(caught.value.fix)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody may write to")
async def test_a_folder_that_cannot_be_written_is_an_error() -> None:
    store = FileStore(Path("/proc/self"), KEY)
    with pytest.raises(StoreError) as caught:
        await store.save("jquants", store.fingerprint("mine"), ENTRY)
    assert "writable" in str(caught.value.fix)


async def test_readers_meet_whole_entries_while_others_write(store: FileStore, mine: str) -> None:
    values = [Secret("a" * 5_000), Secret("b" * 50), Secret("c" * 900)]
    await store.save("jquants", mine, Entry(Token(values[0]), 0))

    async def write(value: Secret) -> None:
        for generation in range(1, 30):
            with suppress(Superseded):
                await store.save("jquants", mine, Entry(Token(value), generation))

    async def read() -> None:
        latest = 0
        for _ in range(60):
            entry = await store.load("jquants", mine)
            assert entry is not None
            assert entry.token.value in values
            assert entry.generation >= latest
            latest = entry.generation

    await asyncio.gather(*(write(value) for value in values), read(), read())


async def test_a_file_system_without_links_keeps_no_entry_before(
    store: FileStore, entry: Path, folder: Path, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_paths: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    await store.save("jquants", mine, SECOND)
    assert await store.load("jquants", mine) == SECOND
    assert {path.name for path in folder.iterdir()} == {"key", "turn", "jquants.token"}


async def test_a_folder_that_is_removed_meanwhile_comes_back_with_a_key_that_fits(
    tmp_path: Path,
) -> None:
    """What a running proxy writes afterwards must open for the next process."""
    folder = tmp_path / "state"
    running = FileStore(folder)
    await running.save("api", running.fingerprint("config"), ENTRY)
    shutil.rmtree(folder)
    await running.save("api", running.fingerprint("config"), SECOND)
    following = FileStore(folder)
    assert await following.load("api", following.fingerprint("config")) == SECOND
