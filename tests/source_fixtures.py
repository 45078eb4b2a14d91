"""A source against real token endpoints, with clocks that the tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from clocks import Clock
from sources import Make

from proxy.credentials.exchange import Exchange
from proxy.credentials.providers import Provider
from proxy.credentials.redaction import Redaction
from proxy.credentials.resources import Resources
from proxy.credentials.source import PATIENCE, Source
from proxy.credentials.stores.base import Store
from proxy.credentials.stores.memory import MemoryStore
from proxy.events import Event
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve


@pytest.fixture
async def portal(clock: Clock) -> AsyncIterator[tuple[Portal, str]]:
    portal = Portal(now=clock)
    async with serve(portal.application()) as origin:
        yield portal, origin


@pytest.fixture
async def make(clock: Clock) -> AsyncIterator[Make]:
    """Return a function that makes sources; without a store of their own they share one."""
    exchange = Exchange(clock.system)
    common = MemoryStore(now=clock)

    def source(
        provider: Provider,
        *,
        name: str = "api",
        store: Store | None = None,
        events: list[Event] | None = None,
        patience: float = PATIENCE,
    ) -> Source:
        return Source(
            name,
            provider,
            "https://api.example.com",
            Resources(
                store or common,
                exchange,
                (events if events is not None else []).append,
                Redaction(),
                clock.system,
            ),
            patience=patience,
        )

    yield source
    await exchange.close()
