"""What is put on the shelf of one upstream stays there, whatever others do at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest
from clocks import Clock

from proxy.credentials.entry import Entry
from proxy.credentials.exchange import Exchange
from proxy.credentials.providers import MiAuth
from proxy.credentials.redaction import Redaction
from proxy.credentials.resources import Resources
from proxy.credentials.secret import Secret
from proxy.credentials.shelf import TRIES, Shelf
from proxy.credentials.stores.file import FileStore
from proxy.credentials.token import Token
from proxy.errors import Superseded
from proxy.events import nobody

LOGIN = Token(Secret("handed-out-once"))


class Busy(FileStore):
    """A store in which somebody else is quicker, so many times."""

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__(folder)
        self.times = times

    async def save(self, name: str, fingerprint: str, entry: Entry) -> None:
        if self.times:
            self.times -= 1
            await super().save(name, fingerprint, Entry(Token(Secret("other")), entry.generation))
        await super().save(name, fingerprint, entry)


def shelf(store: FileStore, clock: Clock) -> Shelf:
    return Shelf(
        "api",
        MiAuth(type="miauth", server="http://127.0.0.1:9"),
        "https://api.example.com",
        Resources(store, Exchange(clock.system), nobody, Redaction(), clock.system),
    )


async def test_a_login_is_kept_though_others_change_the_entry_meanwhile(
    clock: Clock, tmp_path: Path
) -> None:
    """Its token is handed out once: no race is worth losing it."""
    busy = shelf(Busy(tmp_path, times=TRIES - 1), clock)
    entry = await busy.keep(LOGIN, None)
    assert entry.generation == TRIES
    assert await shelf(FileStore(tmp_path), clock).latest(None) == entry


async def test_who_is_never_quick_enough_is_told(clock: Clock, tmp_path: Path) -> None:
    with pytest.raises(Superseded):
        await shelf(Busy(tmp_path, times=TRIES), clock).keep(LOGIN, None)


async def test_a_login_after_a_logout_counts_though_generations_begin_again(
    clock: Clock, tmp_path: Path
) -> None:
    """A running proxy may look only when both are over, and clocks say nothing about the order."""
    ours, running = (shelf(FileStore(tmp_path), clock) for _ in range(2))
    for number in range(5):
        old = await ours.keep(Token(Secret(f"old-{number}")), None)
    known = await running.latest(None)
    assert known == old
    await ours.delete()
    clock.jump(minutes=-10)
    new = await ours.keep(LOGIN, None)
    assert new.generation < old.generation
    assert await running.latest(known) == new
