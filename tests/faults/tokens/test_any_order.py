"""Any order of time, faults, requests, cancellations, crashes and restarts, against a model.

SIDEKEY_TESTS=full python -m pytest tests/faults/tokens/test_any_order.py    # 2,000 runs
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from clocks import Clock
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from loaded import scaled
from raw_upstream import response
from sources import cut_off
from token_server import CUT_AFTER, CUT_BEFORE, Fault, token_server

from proxy.credentials.attempts import Attempts
from proxy.credentials.entry import Entry
from proxy.credentials.exchange import Exchange
from proxy.credentials.redaction import Redaction
from proxy.credentials.resources import Resources
from proxy.credentials.source import Source
from proxy.credentials.stores import base, file_lock
from proxy.credentials.stores.file import FileStore
from proxy.errors import SidekeyError, StoreError
from proxy.events import nobody

PROCESSES = st.integers(0, 2)
SPANS = st.sampled_from([0.1, 1.0, 9.0, 31.0, 300.0, 3299.0, 3571.0, 3700.0, 90_000.0])
JUMPS = st.sampled_from([-90_000.0, -600.0, 600.0, 90_000.0])
FAULTS: list[Fault] = [
    response("503 Busy"),
    response("200 OK", b"<html>"),
    response("429 Slow", b"", "Retry-After: 5"),
    CUT_BEFORE,
    CUT_AFTER,
    0.01,
]


class Disk(FileStore):
    """A store on a disk that may be full."""

    def __init__(self, folder: Path, is_full: Callable[[], bool]) -> None:
        super().__init__(folder)
        self._is_full = is_full

    def _save(self, name: str, fingerprint: str, entry: Entry) -> None:
        self._check()
        super()._save(name, fingerprint, entry)

    def _write_attempts(self, credential: str, attempts: Attempts) -> None:
        self._check()
        super()._write_attempts(credential, attempts)

    def _check(self) -> None:
        if self._is_full():
            raise StoreError("no space left on device")


class Tokens(RuleBasedStateMachine):
    """Three processes that share a file store, a strict server, and one clock."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.clock = Clock()
        self.running: dict[int, Source] = {}
        self.excuses = 0  # answers that were lost: then nobody can know what the server did
        self.kills = 0
        self.full = False
        self.generation = 0
        self.ageless: set[str] = set()

    @initialize()
    def begin(self) -> None:
        async def begin() -> None:
            folder = self.stack.enter_context(
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # threads end when they do
            )
            self.folder = Path(folder) / "state"
            self.server = await self.stack.enter_async_context(
                token_server(now=lambda: self.clock.seconds)
            )
            self.exchange = Exchange(self.clock.system)
            self.stack.push_async_callback(self.exchange.close)

        self.runner.run(begin())

    def teardown(self) -> None:
        async def end() -> None:
            for source in self.running.values():
                await source.close()
            await self.stack.aclose()

        self.runner.run(end())
        self.runner.close()

    def source(self, process: int) -> Source:
        """Return the source of a process, which is started if need be."""
        if process not in self.running:
            self.running[process] = Source(
                "api",
                self.server.provider(),
                "https://api.example.com",
                Resources(
                    Disk(self.folder, lambda: self.full),
                    self.exchange,
                    nobody,
                    Redaction(),
                    self.clock.system,
                ),
            )
        return self.running[process]

    @rule(processes=st.lists(PROCESSES, min_size=1, max_size=6))
    def request(self, processes: list[int]) -> None:
        """Nobody gets a token that its clock could have known to be over."""

        async def ask() -> None:
            asking = [self.source(process).token() for process in processes]
            for got in await asyncio.gather(*asking, return_exceptions=True):
                if isinstance(got, BaseException):
                    assert isinstance(got, SidekeyError), got
                elif not self.server.is_good(got) and got.value.reveal() not in self.ageless:
                    assert self.server.was_revoked(got), "used beyond its life"

        self.runner.run(ask())

    @rule(process=PROCESSES, ticks=st.integers(0, 30))
    def request_and_leave(self, process: int, ticks: int) -> None:
        async def ask() -> None:
            asking = asyncio.create_task(self.source(process).token())
            for _ in range(ticks):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

        self.runner.run(ask())

    @rule(process=PROCESSES)
    def reject(self, process: int) -> None:
        async def ask() -> None:
            source = self.source(process)
            if source.entry is not None:
                rejected = source.entry.token
                results = await asyncio.gather(
                    *(source.token(rejected=rejected) for _ in range(3)), return_exceptions=True
                )
                assert all(
                    isinstance(got, SidekeyError) or got.value != rejected.value for got in results
                )

        self.runner.run(ask())

    @rule(process=PROCESSES)
    def tend(self, process: int) -> None:
        async def tend() -> None:
            self.source(process).tend()

        self.runner.run(tend())

    @precondition(lambda self: self.running)
    @rule(process=PROCESSES)
    def stop(self, process: int) -> None:
        if process in self.running:
            source = self.running.pop(process)
            self.runner.run(source.close())
            self.excuses += not source.saved  # nobody else has it

    @precondition(lambda self: self.running)
    @rule(process=PROCESSES, ticks=st.integers(0, 60))
    def kill(self, process: int, ticks: int) -> None:
        """End a process in the middle of whatever it does."""

        async def kill() -> None:
            source = self.source(process)
            waiting = asyncio.create_task(source.token())
            for _ in range(ticks):
                await asyncio.sleep(0)
            killed = source.renewing
            if killed:
                self.kills += 1
                cut_off(source)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await source.close()
            # What had not begun to renew yet may do so still, and end as if it was stopped.
            self.excuses += killed or not source.saved

        self.runner.run(kill())
        del self.running[process]

    @rule(fault=st.sampled_from(FAULTS))
    def let_it_fail(self, fault: Fault) -> None:
        self.server.faults.append(fault)
        self.excuses += fault is CUT_AFTER

    @rule(full=st.booleans())
    def fill_or_clear_the_disk(self, full: bool) -> None:
        self.full = full

    @rule()
    def revoke(self) -> None:
        self.server.revoke()

    @rule(seconds=SPANS)
    def wait(self, seconds: float) -> None:
        self.clock.move(seconds=seconds)

    @rule(seconds=JUMPS)
    def set_the_clock(self, seconds: float) -> None:
        """A process that starts after it was set back cannot know how old a token is."""
        self.clock.jump(seconds=seconds)
        if seconds < 0:
            self.ageless |= self.server.issued

    @invariant()
    def at_most_one_asks_at_a_time(self) -> None:
        if hasattr(self, "server"):
            # The server may still be at what a process had asked that was killed.
            assert self.server.most_at_once <= 1 + self.kills

    @invariant()
    def no_refresh_token_is_used_twice_without_an_excuse(self) -> None:
        if hasattr(self, "server"):
            assert self.server.calls["reuse"] <= self.excuses
            assert self.server.calls["sign-in"] <= 1 + self.excuses

    @invariant()
    def what_is_used_is_kept_and_the_kept_only_grows(self) -> None:
        if not hasattr(self, "server"):
            return
        used = [source.entry for source in self.running.values() if source.saved]
        kept = self.runner.run(self.kept_generation())  # what is under way may go on meanwhile
        assert kept >= self.generation
        self.generation = kept
        assert all(entry is None or entry.generation <= kept for entry in used)

    async def kept_generation(self) -> int:
        store = FileStore(self.folder)
        source = next(iter(self.running.values()), None)
        if source is None:
            return self.generation
        entry = await store.load("api", source._shelf._fingerprint())
        return 0 if entry is None else entry.generation


@pytest.mark.case("T24")
def test_whatever_happens_in_whatever_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "POLL", (0.0005, 0.002))
    monkeypatch.setattr(base, "LOCK_PATIENCE", 0.2)  # for who keeps a token that the disk refuses
    run_state_machine_as_test(
        Tokens,
        settings=settings(
            max_examples=scaled(25, 150, 2_000),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
