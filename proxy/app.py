"""Settings -> running application: start-up and clean-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from proxy.config.models import Settings, Upstream
from proxy.config.models import Store as StoreSettings
from proxy.credentials.exchange import Exchange
from proxy.credentials.identity import hidden_texts, secrets_of
from proxy.credentials.redaction import Redaction
from proxy.credentials.source import Source, utc_now
from proxy.credentials.stores.base import Store
from proxy.credentials.stores.file import FileStore, default_folder
from proxy.credentials.stores.memory import MemoryStore
from proxy.events import Listening, Observer, Stopped
from proxy.gateway.capacity import Capacity
from proxy.gateway.clients import Clients
from proxy.gateway.forwarding import Forwarding
from proxy.gateway.gateway import Gateway
from proxy.listeners import listen
from proxy.mistakes import survived
from proxy.observe.pages import own_pages
from proxy.reload import check_fixed
from proxy.upstreams import Changes, Upstreams

WATCH_INTERVAL = 1.0  # seconds until a login by another process is noticed


@dataclass(frozen=True, slots=True)
class Running:
    """The running proxy.

    By upstream, `urls` are where clients point their base URL, `upstreams` where requests go, both
    as they were at the start. `change` serves other settings from now on; it raises `ConfigError`
    for what cannot change while the proxy runs, and then changes nothing.
    """

    addresses: tuple[str, ...]
    urls: Mapping[str, str]
    upstreams: Mapping[str, str]
    sources: Mapping[str, Source]
    exchange: Exchange
    change: Callable[[Settings], Awaitable[Changes]]


def state_folder(settings: StoreSettings, environ: Mapping[str, str]) -> Path:
    """Return the folder that holds tokens, locks and the store's key."""
    return settings.path or default_folder(environ)


def open_store(
    settings: StoreSettings, environ: Mapping[str, str], now: Callable[[], datetime] = utc_now
) -> Store:
    """Return the store that the configuration names."""
    if settings.type == "memory":
        return MemoryStore(now=now)
    return FileStore(state_folder(settings, environ), settings.key)


def build_source(
    name: str,
    upstream: Upstream,
    *,
    store: Store,
    exchange: Exchange,
    observe: Observer,
    redaction: Redaction,
) -> Source:
    """Return the source of one upstream."""
    return Source(
        name,
        upstream.provider.at(upstream.base_url),
        upstream.base_url,
        store=store,
        exchange=exchange,
        observe=observe,
        redaction=_part_of(redaction, upstream),
    )


def _part_of(whole: Redaction, upstream: Upstream) -> Redaction:
    """Return what an answer of `upstream` may echo: of its own secrets only what surely is one."""
    part = Redaction(whole=whole)
    for secret in secrets_of(upstream):
        part.know(secret)
    return part


def know_all(redaction: Redaction, settings: Settings) -> None:
    """Make known to `redaction` what is configured."""
    for secret in {*secrets_of(settings), *hidden_texts(settings)}:
        redaction.know(secret)


@asynccontextmanager
async def running(
    settings: Settings, *, store: Store, observe: Observer, redaction: Redaction
) -> AsyncIterator[Running]:
    """Serve until the block ends. Raises `ListenError` if a port or socket cannot be had."""
    async with AsyncExitStack() as stack:
        exchange = Exchange(now=utc_now)
        stack.push_async_callback(exchange.close)
        know_all(redaction, settings)
        clients = Clients(settings.clients)
        upstreams = Upstreams(
            partial(
                build_source, store=store, exchange=exchange, observe=observe, redaction=redaction
            ),
            partial(
                Forwarding, clients=clients, timeouts=settings.listen.timeouts, observe=observe
            ),
            observe,
        )
        stack.push_async_callback(upstreams.close)
        upstreams.replace(settings.upstreams)
        for source in upstreams.sources.values():
            await source.drop_foreign()
        pages = own_pages(upstreams.sources, clients.refusal)
        gateway = Gateway(upstreams.forwardings, pages, clients, observe, redaction)
        capacity = Capacity(settings.listen.max_connections, observe)
        addresses, urls = await listen(settings, gateway, clients, capacity, stack)
        watching = asyncio.create_task(_watch(upstreams.sources), name="watch the store")
        stack.push_async_callback(_cancelled, watching)
        observe(Listening(addresses, tuple(upstreams.sources)))

        async def change(wanted: Settings) -> Changes:
            check_fixed(settings, wanted)
            know_all(redaction, wanted)
            clients.change(wanted.clients)
            return await upstreams.change(wanted.upstreams)

        base_urls = {name: upstream.base_url for name, upstream in settings.upstreams.items()}
        yield Running(addresses, urls, base_urls, upstreams.sources, exchange, change)
    observe(Stopped())


async def _watch(sources: Mapping[str, Source]) -> None:
    while True:
        await asyncio.sleep(WATCH_INTERVAL)
        for source in tuple(sources.values()):
            async with survived():
                source.notice_changes()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
