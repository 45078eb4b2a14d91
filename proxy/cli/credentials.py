"""The source of one upstream, for commands that work without a running proxy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial

from proxy.cli.options import check_name
from proxy.cli.output import say
from proxy.clock import Clock
from proxy.config import Loaded
from proxy.credentials.exchange import TIMEOUT, Exchange, Step
from proxy.credentials.redaction import Redaction
from proxy.credentials.resources import Resources
from proxy.credentials.source import GRACE, Source
from proxy.credentials.stores.base import LOCK_PATIENCE
from proxy.errors import SidekeyError
from proxy.events import EntryPutAside, Event, TokenNotStored
from proxy.sources import build_source, know_all, know_hidden
from proxy.stores import open_store

Watch = Callable[[Step], None]


@asynccontextmanager
async def sources_of(
    loaded: Loaded, watch: Watch | None = None, *, anew: bool = False
) -> AsyncIterator[tuple[dict[str, Source], Exchange]]:
    """Yield every source, and the exchange that they use.

    They wait as long as others may be at it and a token endpoint may take: nobody waits here but
    the one who asks. `watch` is told of each token request; with `anew`, tokens are acquired as if
    there were none.
    """
    exchange = Exchange(Clock(), watch)
    store = open_store(loaded.settings.store, os.environ, _tell)
    redaction = Redaction()
    know_all(redaction, loaded.settings)
    know_hidden(redaction, loaded)
    try:
        build = partial(
            build_source,
            resources=Resources(store, exchange, _tell, redaction, lasting=False, anew=anew),
            patience=LOCK_PATIENCE + TIMEOUT,
        )
        upstreams = loaded.settings.upstreams
        sources = {name: build(name, upstream) for name, upstream in upstreams.items()}
        async with _closed(sources.values()):
            yield sources, exchange
    finally:
        await exchange.close()
        await store.aclose()


@asynccontextmanager
async def _closed(sources: Collection[Source]) -> AsyncIterator[None]:
    """Let what is under way end, since a token may exist only once; after Ctrl-C, soon.

    Say what could not be kept all the same.
    """
    grace = GRACE
    try:
        yield
        grace = TIMEOUT
    except SidekeyError:
        grace = TIMEOUT
        raise
    finally:
        await asyncio.gather(*(source.close(grace) for source in sources))
        for source in sources:
            if not source.saved:
                say(f"{source.name}: the new token cannot be kept, and is lost when it expires")


def _tell(event: Event) -> None:
    """Say what must not go unnoticed; everything else shows in what the command prints."""
    if isinstance(event, EntryPutAside):
        what = "the one before it is used" if event.recovered else "there is none before it"
        say(f"{event.upstream}: the stored token is damaged, kept as {event.path}; {what}")
    elif isinstance(event, TokenNotStored):
        say(f"{event.upstream}: {event.detail}")


@asynccontextmanager
async def source_of(
    loaded: Loaded, name: str, watch: Watch | None = None, *, anew: bool = False
) -> AsyncIterator[tuple[Source, Exchange]]:
    """Yield the source of the upstream `name`, and its exchange. Raises `ConfigError`."""
    check_name(loaded, name)
    async with sources_of(loaded, watch, anew=anew) as (sources, exchange):
        yield sources[name], exchange
