"""Settings -> running application: start-up and clean-up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from proxy.clock import Clock
from proxy.config.models import Settings, Upstream
from proxy.credentials.exchange import Exchange
from proxy.credentials.redaction import Redaction
from proxy.credentials.resources import Resources
from proxy.credentials.source import Source
from proxy.credentials.stores.base import Store
from proxy.errors import StoreError
from proxy.events import Listening, Observer, Stopped
from proxy.face import Face, Served
from proxy.gateway.accepted import Accepted
from proxy.gateway.capacity import Capacity
from proxy.gateway.clients import Clients
from proxy.gateway.fast_lane import unsupported
from proxy.gateway.forwarding import Forwarding
from proxy.gateway.gateway import Gateway
from proxy.gateway.upstream import UpstreamConnections
from proxy.listeners import Bound, addresses_of, bound, listen
from proxy.observe.sign_ins import SignIns
from proxy.reload import check_fixed
from proxy.sources import build_source, know_all
from proxy.tending import tending
from proxy.upstreams import Changes, Upstreams

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
        application = _Application(settings, sockets, store, observe, redaction, face or Face())
        await application.start(stack, is_fast=is_fast and unsupported() is None)
        yield application.running()
    observe(Stopped())


class _Application:
    """The parts of a proxy for `settings`, put together; `start` begins to serve."""

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[Bound],
        store: Store,
        observe: Observer,
        redaction: Redaction,
        face: Face,
    ) -> None:
        self._settings = settings
        self._sockets = sockets
        self._store = store
        self._observe = face.observers(observe)
        self._redaction = redaction
        self._face = face
        self._served = Served(settings, addresses_of(sockets))
        self._exchange = Exchange(_SYSTEM)
        self._clients = Clients(settings.clients)
        self._accepted = Accepted()
        self._resources = Resources(store, self._exchange, self._observe, redaction)
        self._upstreams = Upstreams(self._build_source, self._build_forwarding, self._observe)
        self._sign_ins = SignIns(
            self._upstreams.sources,
            self._exchange,
            self._observe,
            face.logins,
            face.sharing,
            is_lasting=settings.store.type != "memory",
        )

    async def start(self, stack: AsyncExitStack, *, is_fast: bool) -> None:
        """Start one part after the other; `stack` ends them in the opposite order."""
        stack.push_async_callback(self._exchange.close)
        know_all(self._redaction, self._settings)
        stack.push_async_callback(self._upstreams.close)
        self._upstreams.change(self._settings.upstreams)
        self._face.measures.under_way = self._upstreams.under_way
        with suppress(StoreError):  # whoever needs the store will hear of it
            await self._store.tidy()
        await self._upstreams.look_at_store()
        stack.push_async_callback(self._sign_ins.close)
        await self._listen(stack, is_fast=is_fast)
        stack.callback(self._face.stop)
        stack.callback(self._sign_ins.stop)
        await stack.enter_async_context(
            tending(self._upstreams.all_sources, self._observe, _SYSTEM)
        )
        self._observe(Listening(self._served.addresses, tuple(self._upstreams.sources)))

    def running(self) -> Running:
        """Return what there is to know of the proxy, once it has started."""
        upstreams = self._settings.upstreams.items()
        return Running(
            self._served.addresses,
            self._served.urls,
            {name: upstream.base_url for name, upstream in upstreams},
            self._upstreams.sources,
            self._exchange,
            self._change,
            self._observe,
        )

    def _change(self, wanted: Settings) -> Changes:
        check_fixed(self._settings, wanted)
        know_all(self._redaction, wanted)
        self._clients.change(wanted.clients)
        self._accepted.forget()
        self._served.settings = wanted
        changes = self._upstreams.change(wanted.upstreams)
        self._sign_ins.tidy()
        return changes

    def _build_source(self, name: str, upstream: Upstream) -> Source:
        return build_source(name, upstream, resources=self._resources)

    def _build_forwarding(
        self, upstream: UpstreamConnections, token_endpoints: Sequence[str]
    ) -> Forwarding:
        return Forwarding(
            upstream,
            token_endpoints,
            self._clients,
            self._settings.listen.timeouts,
            self._observe,
            self._accepted,
            self._face.recorder,
        )

    async def _listen(self, stack: AsyncExitStack, *, is_fast: bool) -> None:
        self._served.urls = await listen(
            self._sockets,
            self._settings,
            self._gateway(),
            self._clients,
            Capacity(self._settings.listen.max_connections, self._observe),
            stack,
            is_fast=is_fast,
        )

    def _gateway(self) -> Gateway:
        pages = self._face.pages(
            self._upstreams.sources,
            self._served,
            self._redaction,
            self._clients.refusal,
            self._sign_ins,
        )
        return Gateway(
            self._upstreams.forwardings,
            pages,
            self._clients,
            self._observe,
            self._redaction,
            self._accepted,
            self._face.recorder,
        )
