"""Mistakes of our own in what runs in the background: they are told, and the work goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gateway_samples import keyed, tokened
from proxying import sidekey

from proxy import mistakes, reload, tending
from proxy.clock import utc_now
from proxy.config import Loaded, load
from proxy.config.versions import Versions
from proxy.credentials.stores.memory import MemoryStore
from proxy.events import ConfigReloaded, Event
from proxy.reload import Reload

ENVIRON: dict[str, str] = {}
NOWHERE = "http://127.0.0.1:9"
TEXT = "kept out of the log"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "INTERVAL", 0.01)
    monkeypatch.setattr(reload, "INTERVAL", 0.01)
    monkeypatch.setattr(mistakes, "PAUSE", 0.01)


def check_told(caplog: pytest.LogCaptureFixture, place: str) -> None:
    """Check that the log names the error and its place, and not its text."""
    told = [record.getMessage() for record in caplog.records if record.name == "sidekey"]
    assert told
    assert all(line.startswith("internal error: RuntimeError\n") for line in told)
    assert all(f"in {place}\n" in line for line in told)
    assert TEXT not in caplog.text


class Mistaken(MemoryStore):
    """Fails at the first look for `r`, in a way that no store should; `looked` is set by others."""

    def __init__(self) -> None:
        super().__init__(now=utc_now)
        self.looks = 0
        self.looked = {"r": asyncio.Event(), "other": asyncio.Event()}

    def version(self, name: str) -> object:
        self.looks += 1
        if self.looks == 1:
            raise RuntimeError(TEXT)
        self.looked[name].set()
        return super().version(name)


async def test_the_store_is_watched_on_for_every_upstream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = tokened(NOWHERE, NOWHERE)
    upstreams = f"{one}\n{one.replace('r:', 'other:', 1)}"
    store = Mistaken()
    async with sidekey(tmp_path, upstreams, store=store):
        await asyncio.gather(*(looked.wait() for looked in store.looked.values()))
    check_told(caplog, "version")


async def test_a_reload_that_fails_unexpectedly_is_not_the_last_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
    asked = asyncio.Event()
    loads = 0

    def load_again(files: Versions) -> Loaded:
        nonlocal loads
        loads += 1
        loaded = load(tmp_path / "sidekey.yaml", environ=ENVIRON, files=files)
        if loads == 1:
            asked.set()
            raise RuntimeError(TEXT)
        return loaded

    async with sidekey(tmp_path, keyed(NOWHERE), environ=ENVIRON) as proxy:
        change = proxy.running.change
        reloading = Reload(
            load_again, {}, lambda loaded: change(loaded.settings), told.set_result, asked
        )
        task = asyncio.create_task(reloading.run())
        asked.set()
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert told.done()
    assert told.result() == ConfigReloaded((), (), ())
    check_told(caplog, "load_again")
