"""The source of one upstream, for commands that work without a running proxy."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from proxy.app import build_source, know_all, open_store
from proxy.cli.options import check_name
from proxy.config import Loaded
from proxy.credentials.exchange import Exchange
from proxy.credentials.redaction import Redaction
from proxy.credentials.source import Source, utc_now
from proxy.events import nobody


@asynccontextmanager
async def sources_of(loaded: Loaded) -> AsyncIterator[tuple[dict[str, Source], Exchange]]:
    """Yield every source, and the exchange that they use."""
    exchange = Exchange(now=utc_now)
    store = open_store(loaded.settings.store, os.environ)
    redaction = Redaction()
    know_all(redaction, loaded.settings)
    try:
        build = partial(
            build_source, store=store, exchange=exchange, observe=nobody, redaction=redaction
        )
        upstreams = loaded.settings.upstreams
        yield {name: build(name, upstream) for name, upstream in upstreams.items()}, exchange
    finally:
        await exchange.close()


@asynccontextmanager
async def source_of(loaded: Loaded, name: str) -> AsyncIterator[tuple[Source, Exchange]]:
    """Yield the source of the upstream `name`, and its exchange. Raises `ConfigError`."""
    check_name(loaded, name)
    async with sources_of(loaded) as (sources, exchange):
        yield sources[name], exchange
