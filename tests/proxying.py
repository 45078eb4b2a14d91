"""Serves the product in a test, from a real configuration text."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from proxy.app import Running, running
from proxy.config import load
from proxy.credentials.redaction import Redaction
from proxy.credentials.source import Source
from proxy.credentials.stores.base import Store
from proxy.events import Event, Observer
from proxy.face import Face
from proxy.sources import know_hidden
from proxy.stores import login_folder, open_store

IS_FAST = os.environ.get("SIDEKEY_LANE") != "ordinary"  # so that every test can run in both lanes
BEGINNING = "listen: {port: 0}\nstore: {type: memory}\n"


@dataclass(frozen=True)
class Sidekey:
    """A running proxy, and the events that it told."""

    running: Running
    events: list[Event] = field(default_factory=list)

    def url(self, upstream: str, rest: str = "") -> str:
        """The URL at which a client reaches `rest` of an upstream."""
        return self.running.urls[upstream] + rest

    @property
    def address(self) -> str:
        """The origin of the main listener."""
        return self.running.addresses[0]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def place(self) -> int | Path:
        """The port of the main listener, or its unix socket."""
        socket = self.address.removeprefix("unix:")
        return Path(socket) if socket != self.address else self.port

    @property
    def host(self) -> str:
        """What a client's Host field says that calls the main listener."""
        return "localhost" if isinstance(self.place, Path) else f"127.0.0.1:{self.place}"

    def source(self, upstream: str) -> Source:
        return self.running.sources[upstream]

    def told(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def sidekey(
    folder: Path,
    upstreams: str,
    *,
    environ: Mapping[str, str] | None = None,
    beginning: str = BEGINNING,
    store: Store | None = None,
    observe: Observer | None = None,
    redaction: Redaction | None = None,
    is_fast: bool = IS_FAST,
) -> AsyncIterator[Sidekey]:
    """Serve `upstreams`, the YAML text below that key, on a free port, with tokens in memory.

    `observe` gets the events too.
    """
    path = folder / "sidekey.yaml"
    indented = "".join(f"  {line}\n" for line in upstreams.strip("\n").splitlines())
    path.write_text(f"{beginning}upstreams:\n{indented}")
    path.chmod(0o600)
    loaded = load(path, environ=environ or {})
    settings = loaded.settings
    events: list[Event] = []

    def observe_all(event: Event) -> None:
        events.append(event)
        if observe is not None:
            observe(event)

    logins = login_folder(settings.store, environ or {})
    redaction = redaction or Redaction()
    know_hidden(redaction, loaded)
    kept = store if store is not None else open_store(settings.store, environ or {})
    try:
        async with running(
            settings,
            store=kept,
            observe=observe_all,
            redaction=redaction,
            is_fast=is_fast,
            face=Face(lambda: loaded.effective, logins=logins),
        ) as proxy:
            yield Sidekey(proxy, events)
    finally:
        await kept.aclose()
