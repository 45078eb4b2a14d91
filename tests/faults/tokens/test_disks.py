"""Disks that are full, broken or not ours: the token serves, and is kept as soon as it can be."""

# ruff: noqa: ASYNC240  between two steps, a test looks at the disk

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from command_line import Home, until
from processes import SKIP_WITHOUT_STRACE, traced
from proxying import sidekey
from raw_client import ask
from raw_upstream import Conversation, conversing
from sources import Make, tended
from token_server import TokenServer, token_server

from proxy.config import load
from proxy.credentials.stores import base, private_file
from proxy.credentials.stores.file import FileStore
from proxy.errors import StoreBusy, StoreError, TokenEndpointUnreachable
from proxy.events import EntryPutAside, Event, TokenNotStored, TokenStored


@contextmanager
def failing(call: str, number: int) -> Iterator[None]:
    """Let a system call fail wherever the store makes it: that of the folder's lock works."""
    real = getattr(os, call)

    def fail(*arguments: Any, **options: Any) -> Any:
        if call == "open" and not str(arguments[0]).endswith(private_file.TEMPORARY):
            return real(*arguments, **options)
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, fail)
        yield


FAULTS = [
    (call, number)
    for call in ("open", "write", "fsync", "rename")
    for number in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)
]


@pytest.mark.case("S09")
@pytest.mark.parametrize(
    ("call", "number"), FAULTS, ids=[f"{call} {errno.errorcode[n]}" for call, n in FAULTS]
)
async def test_a_token_that_cannot_be_kept_serves_and_is_kept_once_the_disk_is_well(
    make: Make, server: TokenServer, clock: Clock, folder: Path, call: str, number: int
) -> None:
    events: list[Event] = []
    source = make(server.provider(), store=FileStore(folder), events=events)
    await source.token()
    clock.move(hours=1)
    with failing("replace" if call == "rename" else call, number):
        second = await source.token()
        for _ in range(30):
            assert await source.token() == second
            assert not source.saved
            clock.move(seconds=1)
            await tended(source)
    assert server.is_good(second)
    clock.move(minutes=1)
    await tended(source)
    await tended(source)
    assert source.saved
    kinds = [type(event) for event in events]
    assert (kinds.count(TokenNotStored), kinds.count(TokenStored)) == (1, 1)
    assert await make(server.provider(), store=FileStore(folder)).token() == second
    assert server.calls == {"sign-in": 1, "renewal": 1}


@pytest.mark.case("S09")
async def test_what_could_not_be_kept_is_kept_at_the_end(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    clock.move(hours=1)
    with failing("fsync", errno.ENOSPC):
        second = await source.token()
    await source.close()
    assert await make(server.provider(), store=FileStore(folder)).token() == second


@pytest.mark.case("S09")
async def test_while_a_token_is_nowhere_but_in_one_process_no_other_one_renews(
    make: Make, server: TokenServer, clock: Clock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refresh token that the disk has is used up: a second use would end the session."""
    monkeypatch.setattr(base, "LOCK_PATIENCE", 0.2)
    first, second = (make(server.provider(), store=FileStore(folder)) for _ in range(2))
    assert await first.token() == await second.token()
    clock.move(hours=1)
    with failing("fsync", errno.ENOSPC):
        token = await first.token()
        with pytest.raises(StoreBusy):
            await second.token()
        clock.move(minutes=58)
        assert await first.token() == token
        await first.settle()
        assert server.is_good(later := await first.token())
        assert not first.saved
    clock.move(minutes=2)
    await tended(first)
    assert first.saved
    assert await second.token() == later
    assert server.calls == {"sign-in": 1, "renewal": 2}


@pytest.mark.case("S09")
async def test_a_token_that_came_too_late_and_could_not_be_kept_is_what_renews(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """It expired on its way, but its refresh token is the only one that is good."""
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    clock.move(hours=1)
    server.issued_one = lambda: clock.move(hours=2)
    with failing("fsync", errno.ENOSPC):
        with pytest.raises(TokenEndpointUnreachable, match="expired"):
            await source.token()
        server.issued_one = lambda: None
        clock.move(minutes=2)
        assert server.is_good(await source.token())
    assert server.calls == {"sign-in": 1, "renewal": 2}


@pytest.mark.case("S09")
async def test_a_write_whose_last_step_fails_has_happened_all_the_same(
    make: Make, server: TokenServer, clock: Clock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rename is done, the folder is not on the disk yet: what is there is our own."""
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    clock.move(hours=1)

    def broken(_folder: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(private_file, "_sync", broken)
        await source.token()
        assert not source.saved
    clock.move(minutes=1)
    await tended(source)
    assert source.saved
    assert server.calls == {"sign-in": 1, "renewal": 1}


@pytest.mark.case("S09")
async def test_what_one_process_has_alone_concerns_no_other_upstream_and_no_other_configuration(
    make: Make, server: TokenServer, clock: Clock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither has a use for that refresh token."""
    monkeypatch.setattr(base, "LOCK_PATIENCE", 0.2)
    store = FileStore(folder)
    source, other = (
        make(server.provider(), store=store),
        make(server.provider(), name="b", store=store),
    )
    await source.token()
    await other.token()
    clock.move(hours=1)
    edited = server.provider().model_copy(update={"lifetime": timedelta(minutes=30)})
    with failing("fsync", errno.ENOSPC):
        await source.token()
        assert not source.saved
        assert server.is_good(await other.token())
        assert server.is_good(await make(edited, store=store).token())
    assert server.calls["reuse"] == 0


@pytest.mark.case("S09")
async def test_a_logout_counts_for_a_token_that_could_not_be_kept_too(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    clock.move(hours=1)
    with failing("fsync", errno.ENOSPC):
        await source.token()
    assert not source.saved
    assert await make(server.provider(), store=FileStore(folder)).forget()
    for _ in range(3):
        clock.move(minutes=1)
        await tended(source)
    await source.close()
    assert source.entry is None
    assert await make(server.provider(), store=FileStore(folder)).peek() is None


@pytest.mark.case("S09")
async def test_a_logout_counts_for_an_entry_that_was_damaged_and_could_not_be_put_back(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    await tended(source)
    path = folder / "api.token"
    path.write_bytes(changed(path.read_bytes()))
    with failing("fsync", errno.ENOSPC):
        for _ in range(2):
            await tended(source)
        assert not source.saved
    assert await make(server.provider(), store=FileStore(folder)).forget()
    for _ in range(3):
        clock.move(minutes=1)
        await tended(source)
    assert source.entry is None
    assert await make(server.provider(), store=FileStore(folder)).peek() is None


@pytest.mark.case("S09")
async def test_a_source_whose_upstream_has_changed_keeps_its_token_as_soon_as_it_can(
    tmp_path: Path,
) -> None:
    """It still answers requests under way, and what it holds the next but one may want."""
    over = asyncio.Event()

    async def streaming(peer: Conversation) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
        await over.wait()
        await peer.send(b"lf")

    beginning = f"listen: {{port: 0}}\nstore: {{path: {tmp_path}/state}}\n"
    async with token_server() as server, conversing(streaming) as upstream:

        def text(**more: str) -> str:
            shape = json.dumps({**server.shape(), **more})
            return f"r: {{base_url: '{upstream.origin}', provider: {shape}}}"

        async with sidekey(tmp_path, text(), beginning=beginning) as proxy:
            old = proxy.source("r")
            with failing("fsync", errno.ENOSPC):
                asking = asyncio.create_task(ask(proxy, "GET /r/a"))
                await until(lambda: upstream.connections == 1)
                (tmp_path / "new.yaml").write_text(
                    f"{beginning}upstreams:\n  {text(lifetime='30m')}\n"
                )
                (tmp_path / "new.yaml").chmod(0o600)
                proxy.running.change(load(tmp_path / "new.yaml", environ={}).settings)
                assert proxy.source("r") is not old
                assert not old.saved
            await until(lambda: old.saved)
            over.set()
            assert (await asking).status == 200


@pytest.mark.case("S09")
async def test_a_command_renews_nothing_that_it_could_not_keep(home: Home) -> None:
    """It ends at once, and the only good refresh token with it."""
    on_a_full_disk = """
import errno, os
def full(_descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.fsync = full
from proxy.cli import main
main()
"""
    async with token_server() as server:
        home.configure(f"listen: {{port: 0}}\nupstreams:\n  {server.upstreams('r')}\n")
        assert (await home.run("token", "r")).code == 0
        well, home.program = home.program, ["-c", on_a_full_disk]
        ended = await home.run("refresh", "r")
        assert ended.code == 1
        assert "No space left on device" in ended.err
        home.program = well
        assert (await home.run("refresh", "r")).code == 0
    assert server.calls == {"sign-in": 1, "renewal": 1}


@pytest.mark.case("S17")
async def test_without_a_file_descriptor_the_token_serves_and_is_kept_later(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    clock.move(hours=1)
    with failing("open", errno.EMFILE):
        second = await source.token()
    assert not source.saved
    clock.move(minutes=1)
    await tended(source)
    await tended(source)
    assert source.saved
    assert await make(server.provider(), store=FileStore(folder)).token() == second


@SKIP_WITHOUT_STRACE
@pytest.mark.case("S09")
async def test_a_real_proxy_on_a_disk_without_space_serves_and_says_so(home: Home) -> None:
    async with token_server(life=2.0) as server:
        home.configure(f"listen: {{port: 0}}\nupstreams:\n  {server.upstreams('r')}\n")
        async with home.serving() as proxy:
            url = f"{await proxy.address()}/r/a"
            full = "inject=fsync:error=ENOSPC"
            async with traced(proxy.process.pid, "-e", "trace=fsync", "-e", full):
                for _ in range(4):
                    assert "200 OK" in (await home.shell(f"curl -si {url}")).out
                    await asyncio.sleep(0.8)
                await proxy.err.shows(r'"event": "token\.not\.stored"')
                said = (await home.shell(f"curl -s {await proxy.address()}/_sidekey/status")).out
                assert '"stored": false' in said
            await proxy.err.shows(r'"event": "token\.stored"')
    assert server.calls["reuse"] == server.calls["refused"] == 0
    assert server.calls["sign-in"] == 1


# Places that are not what they should be


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


# Entries that are not what they were


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def changed(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def emptied(_content: bytes) -> bytes:
    return b""


def of_another_version(content: bytes) -> bytes:
    return b"SIDEKEY\x09" + content[8:]


def of_another_key(content: bytes) -> bytes:
    return content[:8] + os.urandom(32) + content[40:]


@pytest.mark.case("S11")
@pytest.mark.parametrize("damage", [cut, changed, emptied, of_another_version, of_another_key])
async def test_the_entry_before_a_damaged_one_is_used_and_the_damaged_one_kept(
    make: Make,
    server: TokenServer,
    clock: Clock,
    folder: Path,
    damage: Callable[[bytes], bytes],
) -> None:
    """Its refresh token was used, so the strictest server asks for one more sign-in."""
    source = make(server.provider(), store=FileStore(folder))
    first = await source.token()
    clock.move(minutes=58)
    await source.token()
    await source.settle()
    path = folder / "api.token"
    path.write_bytes(damage(path.read_bytes()))
    events: list[Event] = []
    store = FileStore(folder, observe=events.append)
    following = make(server.provider(), store=store, events=events)
    assert await following.token() == first, "it is still good for two minutes"
    [aside] = [event for event in events if isinstance(event, EntryPutAside)]
    assert aside.recovered
    assert Path(aside.path).exists()
    clock.move(minutes=2)
    assert server.is_good(await following.token())
    assert server.calls["sign-in"] == 2


@pytest.mark.case("S11")
async def test_a_running_proxy_that_knows_the_later_token_puts_it_back(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """It must not take over the earlier one: that refresh token is used up."""
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    clock.move(hours=1)
    second = await source.token()
    path = folder / "api.token"
    path.write_bytes(changed(path.read_bytes()))
    for _ in range(3):
        await tended(source)
    assert await source.token() == second
    assert await make(server.provider(), store=FileStore(folder)).token() == second
    clock.move(hours=1)
    assert server.is_good(await source.token())
    assert server.calls == {"sign-in": 1, "renewal": 2}


@pytest.mark.case("S11")
async def test_a_running_proxy_brings_back_its_first_token_when_another_process_met_it_damaged(
    make: Make, server: TokenServer, folder: Path
) -> None:
    """There is none before it, and what was put aside is no logout: a human may have signed in."""
    source = make(server.provider(), store=FileStore(folder))
    token = await source.token()
    await tended(source)  # it takes note of what it has kept itself
    path = folder / "api.token"
    path.write_bytes(changed(path.read_bytes()))
    assert await make(server.provider(), store=FileStore(folder)).peek() is None
    for _ in range(2):
        await tended(source)
    assert await source.token() == token
    assert await make(server.provider(), store=FileStore(folder)).token() == token
    assert await make(server.provider(), store=FileStore(folder)).forget()
    await tended(source)
    assert source.entry is None, "a logout is one all the same"
    assert server.calls == {"sign-in": 1}


@pytest.mark.case("S16")
async def test_a_start_removes_what_killed_writers_left(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    left = state / ".r.token.0123456789abcdef.tmp"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    async with token_server() as server:
        beginning = f"listen: {{port: 0}}\nstore: {{path: {state}}}\n"
        async with sidekey(tmp_path, server.upstreams("r"), beginning=beginning) as proxy:
            await until(lambda: not left.exists())
            assert (await ask(proxy, "GET /r/a")).status == 200
