"""Disks that are full or broken: the token serves, and is kept as soon as it can be."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from clocks import Clock
from command_line import Home, until
from failing_disks import failing
from processes import SKIP_WITHOUT_STRACE, traced
from proxying import sidekey
from raw_client import ask
from raw_upstream import Conversation, conversing
from sources import Make, tended
from token_server import TokenServer, token_server

from proxy.config import load
from proxy.credentials.stores import base, private_file
from proxy.credentials.stores.file import FileStore
from proxy.errors import StoreBusy, TokenEndpointUnreachable
from proxy.events import Event, TokenNotStored, TokenStored

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
