"""Settings -> running application: start-up and clean-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from proxy.clock import Clock, utc_now
from proxy.config import Loaded
from proxy.config.models import Settings, Upstream
from proxy.config.store import Store as StoreSettings
from proxy.credentials.exchange import Exchange
from proxy.credentials.identity import hidden_texts, secrets_of
from proxy.credentials.redaction import Redaction
from proxy.credentials.resources import Resources
from proxy.credentials.source import PATIENCE, Source
from proxy.credentials.stores.base import Store
from proxy.credentials.stores.file import FileStore, default_folder
from proxy.credentials.stores.memory import MemoryStore
from proxy.errors import ConfigError, StoreError
from proxy.events import ClockJumped, Listening, Observer, Stopped, TokenFailed, nobody
from proxy.face import Face, Served
from proxy.gateway.accepted import Accepted
from proxy.gateway.capacity import Capacity
from proxy.gateway.clients import Clients
from proxy.gateway.fast_lane import unsupported
from proxy.gateway.forwarding import Forwarding
from proxy.gateway.gateway import Gateway
from proxy.listeners import Bound, addresses_of, bound, listen
from proxy.mistakes import survived
from proxy.observe.sign_ins import SignIns
from proxy.reload import check_fixed
from proxy.upstreams import Changes, Upstreams

TEND_INTERVAL = 1.0  # seconds until a login by another process is noticed
JUMP = 60.0  # seconds by which the clock is set, not slewed
_SYSTEM = Clock()


@dataclass(frozen=True, slots=True)
class Running:
    """The running proxy.

    By upstream, `urls` are where clients point their base URL, `upstreams` where requests go, both
    as they were at the start. `change` serves other settings from now on; it raises `ConfigError`
    for what cannot change while the proxy runs, and then changes nothing. `observe` tells its
    observers, its own pages among them.
    """

    addresses: tuple[str, ...]
    urls: Mapping[str, str]
    upstreams: Mapping[str, str]
    sources: Mapping[str, Source]
    exchange: Exchange
    change: Callable[[Settings], Changes]
    observe: Observer


def state_folder(settings: StoreSettings, environ: Mapping[str, str]) -> Path:
    """Return the folder that holds tokens, locks and the store's key."""
    return settings.path or default_folder(environ)


def login_folder(settings: StoreSettings, environ: Mapping[str, str]) -> Path | None:
    """Return the folder by which sign-ins of several processes notice each other.

    There is none where tokens live in memory, and where nobody has a home.
    """
    if settings.type == "memory":
        return None
    with suppress(StoreError):
        return state_folder(settings, environ)
    return None


def open_store(
    settings: StoreSettings, environ: Mapping[str, str], observe: Observer = nobody
) -> Store:
    """Return the store that the configuration names; `observe` hears of damaged entries."""
    if settings.type == "memory":
        return MemoryStore(now=utc_now)
    if settings.type == "redis":
        return _open_redis(settings)
    return FileStore(state_folder(settings, environ), settings.key, observe=observe)


def _open_redis(settings: StoreSettings) -> Store:
    """Return the store; the library is imported for those only who use it."""
    try:
        from proxy.credentials.stores.redis import RedisStore
    except ImportError:
        why = "store.type: redis needs one more package: pip install 'sidekey[redis]'"
        raise ConfigError([why]) from None
    assert settings.url is not None  # the model saw to it
    assert settings.key is not None
    try:
        return RedisStore(settings.url, settings.key, prefix=settings.prefix)
    except (TypeError, ValueError):  # their texts may quote the URL
        raise ConfigError(["store.url: an option in its query is unknown or wrong"]) from None


def build_source(
    name: str,
    upstream: Upstream,
    *,
    resources: Resources,
    patience: float = PATIENCE,
) -> Source:
    """Return the source of one upstream; a request waits for it as long as its `patience`."""
    return Source(
        name,
        upstream.provider.at(upstream.base_url),
        upstream.base_url,
        replace(resources, redaction=_part_of(resources.redaction, upstream)),
        patience=patience,
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


def know_hidden(redaction: Redaction, loaded: Loaded) -> None:
    """Make known to `redaction` what else the file refers to that nobody may read."""
    for secret in loaded.hidden:
        redaction.know(secret)


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    store: Store,
    observe: Observer,
    redaction: Redaction,
    sockets: Sequence[Bound] | None = None,
    is_fast: bool = True,
    face: Face | None = None,
) -> AsyncIterator[Running]:
    """Serve `sockets`, or those that the settings name, until the block ends.

    Without `is_fast`, every request takes the ordinary lane. `face` is what the proxy shows of
    itself, if its caller has something to tell there.

    Raises `ListenError` if a port or socket cannot be had.
    """
    async with AsyncExitStack() as stack:
        if sockets is None:
            sockets = stack.enter_context(bound(settings))
        face = face or Face()
        observe = face.observers(observe)
        served = Served(settings, addresses_of(sockets))
        exchange = Exchange(_SYSTEM)
        stack.push_async_callback(exchange.close)
        know_all(redaction, settings)
        clients = Clients(settings.clients)
        resources = Resources(store, exchange, observe, redaction)
        source = partial(build_source, resources=resources)
        accepted = Accepted()
        forwarding = partial(
            Forwarding,
            clients=clients,
            timeouts=settings.listen.timeouts,
            observe=observe,
            accepted=accepted,
            recorder=face.recorder,
        )
        upstreams = Upstreams(source, forwarding, observe)
        stack.push_async_callback(upstreams.close)
        upstreams.change(settings.upstreams)
        face.measures.under_way = upstreams.under_way
        with suppress(StoreError):  # whoever needs the store will hear of it
            await store.tidy()
        await asyncio.gather(*(_look_at(one, observe) for one in upstreams.sources.values()))
        is_lasting = settings.store.type != "memory"
        sign_ins = SignIns(
            upstreams.sources,
            exchange,
            observe,
            face.logins,
            face.sharing,
            is_lasting=is_lasting,
        )
        stack.push_async_callback(sign_ins.close)
        pages = face.pages(upstreams.sources, served, redaction, clients.refusal, sign_ins)
        gateway = Gateway(
            upstreams.forwardings, pages, clients, observe, redaction, accepted, face.recorder
        )
        capacity = Capacity(settings.listen.max_connections, observe)
        served.urls = await listen(
            sockets,
            settings,
            gateway,
            clients,
            capacity,
            stack,
            is_fast=is_fast and unsupported() is None,
        )
        stack.callback(face.stop)
        stack.callback(sign_ins.stop)
        tending = asyncio.create_task(_tend(upstreams.all_sources, observe), name="tend the tokens")
        stack.push_async_callback(_cancelled, tending)
        observe(Listening(served.addresses, tuple(upstreams.sources)))

        def change(wanted: Settings) -> Changes:
            check_fixed(settings, wanted)
            know_all(redaction, wanted)
            clients.change(wanted.clients)
            accepted.forget()
            served.settings = wanted
            changes = upstreams.change(wanted.upstreams)
            sign_ins.tidy()
            return changes

        base_urls = {name: upstream.base_url for name, upstream in settings.upstreams.items()}
        yield Running(
            served.addresses,
            served.urls,
            base_urls,
            upstreams.sources,
            exchange,
            change,
            observe,
        )
    observe(Stopped())


async def _look_at(source: Source, observe: Observer) -> None:
    """Tell of a store that fails before anybody needs the token."""
    try:
        await source.peek()
    except StoreError as error:
        observe(TokenFailed(source.name, error.slug, error.detail, error.fix, 0.0))


async def _tend(
    sources: Callable[[], Collection[Source]], observe: Observer, clock: Clock = _SYSTEM
) -> None:
    """Renew, notice what other processes do, and tell when somebody sets the clock."""
    ahead = clock.wall().timestamp() - clock.elapsed()
    while True:
        await asyncio.sleep(TEND_INTERVAL)
        before, ahead = ahead, clock.wall().timestamp() - clock.elapsed()
        if abs(ahead - before) >= JUMP:
            observe(ClockJumped(round(ahead - before, 3)))
        for source in sources():
            async with survived():
                source.tend()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
