"""What is under way when a source, a proxy or a command ends."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from command_line import Home, until
from sources import Make
from token_server import HANG, TokenServer, token_server

from proxy.credentials.attempts import LIMIT
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores.file import FileStore
from proxy.credentials.token import Token
from proxy.errors import StoreError, TokenPending

CONFIG = "listen: {{port: 0}}\nupstreams:\n  {upstreams}\n"


async def test_a_source_that_closes_begins_nothing_any_more(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """Who waited for the one thing must not begin the next, which would be cut off."""
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    clock.move(hours=1)
    source._version = None  # as if another process had changed the entry: it is looked at first
    source.tend()
    waiting = asyncio.create_task(source.token())
    await asyncio.sleep(0)
    await source.close()
    with pytest.raises(TokenPending):
        await waiting
    assert server.calls == {"sign-in": 1}


async def test_who_waits_for_a_renewal_that_is_cut_off_is_told_to_come_again(
    make: Make, server: TokenServer
) -> None:
    server.faults = [HANG]
    source = make(server.provider())
    waiting = asyncio.create_task(source.token())
    await until(lambda: server.asked == 1)
    await source.close(grace=0.05)
    with pytest.raises(TokenPending):
        await waiting


async def test_a_logout_waits_for_the_renewal_that_would_undo_it(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    clock.move(hours=1)
    server.faults = [0.3]
    renewing = asyncio.create_task(source.token())
    await until(lambda: server.asked == 2)
    assert await make(server.provider(), store=FileStore(folder)).forget()
    await renewing
    assert await make(server.provider(), store=FileStore(folder)).peek() is None


async def test_a_command_waits_as_long_as_a_token_endpoint_may_take(home: Home) -> None:
    """What it gave up on would be lost, and a refresh token with it."""
    async with token_server(fault=lambda: 11.0) as server:
        home.configure(CONFIG.format(upstreams=server.upstreams("r")))
        ended = await home.run("token", "r")
        assert ended.code == 0
        assert server.takes(ended.out.strip())


async def test_a_command_that_is_interrupted_blames_nobody(home: Home) -> None:
    async with token_server(fault=lambda: HANG) as server:
        home.configure(CONFIG.format(upstreams=server.upstreams("r", renews=False)))
        for number in range(1, 4):
            async with home.started("token", "r") as command:
                await until(lambda number=number: server.asked == number)
                assert (await command.stopped(signal.SIGINT)).code == 130
        server.fault = lambda: None
        ended = await home.run("token", "r")
    assert ended.code == 0


@pytest.mark.parametrize("name", ["token", "refresh"])
async def test_a_command_that_is_interrupted_keeps_what_it_has_asked_for(
    home: Home, name: str
) -> None:
    """The refresh token that the store has is used up by then."""
    async with token_server(life=2.0) as server:
        home.configure(CONFIG.format(upstreams=server.upstreams("r")))
        assert (await home.run("token", "r")).code == 0
        await asyncio.sleep(2.1)
        server.fault = lambda: 1.0
        async with home.started(name, "r") as command:
            await until(lambda: server.asked == 2)
            assert (await command.stopped(signal.SIGINT)).code == 130
        server.fault = lambda: None
        assert (await home.run("refresh", "r")).code == 0
    assert server.calls == {"sign-in": 1, "renewal": 2}


async def test_two_commands_at_once_are_both_as_patient_as_the_endpoint_is_slow(home: Home) -> None:
    async with token_server(fault=lambda: 12.0) as server:
        home.configure(CONFIG.format(upstreams=server.upstreams("r")))
        ended = await home.run_all(("token", "r"), ("token", "r"))
    assert [one.code for one in ended] == [0, 0]
    assert server.calls == {"sign-in": 1}


class Broken(FileStore):
    """Its writes take long and fail."""

    def _save(self, *_arguments: Any) -> None:
        time.sleep(0.2)
        raise StoreError("input/output error")


async def test_a_write_that_fails_after_it_was_given_up_is_no_mistake_of_ours(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Broken(folder)
    saving = asyncio.create_task(
        store.save("api", store.fingerprint("mine"), Entry(Token(Secret("canary"))))
    )
    await asyncio.sleep(0.05)
    saving.cancel()
    await asyncio.gather(saving, return_exceptions=True)
    gc.collect()
    assert "never retrieved" not in caplog.text


class Slow(FileStore):
    """Its writes take long, such as on a disk that is asleep."""

    seconds = 0.0

    def _save(self, *arguments: Any) -> None:
        time.sleep(self.seconds)
        super()._save(*arguments)

    def _write_attempts(self, *arguments: Any) -> None:
        time.sleep(self.seconds)
        super()._write_attempts(*arguments)


async def test_a_write_that_has_begun_is_waited_for_with_the_lock_in_hand(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """A thread cannot be stopped; the next process would renew with the token before."""
    store = Slow(folder)
    source = make(server.provider(), store=store)
    await source.token()
    clock.move(hours=1)
    store.seconds = 0.4
    waiting = asyncio.create_task(source.token())
    await until(lambda: server.calls["renewal"] == 1)
    await source.close(grace=0.05)
    await asyncio.gather(waiting, return_exceptions=True)
    assert server.is_good(await make(server.provider(), store=FileStore(folder)).token())
    assert server.calls == {"sign-in": 1, "renewal": 1}


async def test_an_attempt_that_was_stopped_before_it_was_made_does_not_count(
    make: Make, server: TokenServer, folder: Path
) -> None:
    for _ in range(LIMIT):
        store = Slow(folder)
        store.seconds = 0.2
        source = make(server.provider(), store=store)
        waiting = asyncio.create_task(source.token())
        await asyncio.sleep(0.1)
        await source.close(grace=0.0)
        await asyncio.gather(waiting, return_exceptions=True)
    assert server.asked == 0
    assert server.is_good(await make(server.provider(), store=FileStore(folder)).token())
