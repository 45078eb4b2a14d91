"""The upstreams that are served, and how others take their place while the proxy runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.config.models import Upstream
from proxy.credentials.identity import secrets_of
from proxy.credentials.source import Source
from proxy.errors import StoreError
from proxy.events import Observer, TokenDropped, TokenFailed
from proxy.gateway.forwarding import Forwarding
from proxy.gateway.upstream import UpstreamConnections


@dataclass(frozen=True, slots=True)
class Changes:
    """The names of upstreams whose settings are others now, that are new, and that are gone."""

    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


class Upstreams:
    """For each upstream its source, its connections and its forwarding.

    `sources` and `forwardings` are live: whoever holds them sees every change.
    """

    def __init__(
        self,
        build_source: Callable[[str, Upstream], Source],
        build_forwarding: Callable[[UpstreamConnections, Sequence[str]], Forwarding],
        observe: Observer,
    ) -> None:
        self.sources: dict[str, Source] = {}
        self.forwardings: dict[str, Forwarding] = {}
        self._connections: dict[str, UpstreamConnections] = {}
        self._build_source = build_source
        self._build_forwarding = build_forwarding
        self._observe = observe
        self._retiring: dict[asyncio.Task[None], tuple[UpstreamConnections, Forwarding]] = {}

    def change(self, wanted: Mapping[str, Upstream]) -> Changes:
        """Serve `wanted` from now on, in one step, so that no request meets the half of it.

        Upstreams that stay as they are keep their token and connections. What is replaced serves
        its requests under way to their end, however long that takes; then the tokens of upstreams
        that are gone are removed.
        """
        before = self._connections
        self._connections = {name: self._connected(name, wanted[name]) for name in wanted}
        changes = _compared(before, self._connections)
        for name in (*changes.changed, *changes.removed):
            self._retire(before[name], self.forwardings[name])
        self._route(kept=self._connections.keys() - {*changes.changed, *changes.added})
        return changes

    def all_sources(self) -> set[Source]:
        """Return those of requests under way too, whose upstreams are others by now, or gone."""
        retiring = (connections for connections, _ in self._retiring.values())
        return {connections.source for connections in (*self._connections.values(), *retiring)}

    def under_way(self) -> dict[str, int]:
        """Return how many requests wait for an answer, by upstream, as it is or as it was."""
        counts = {name: forwarding.usage.users for name, forwarding in self.forwardings.items()}
        for _, forwarding in self._retiring.values():
            counts[forwarding.name] = counts.get(forwarding.name, 0) + forwarding.usage.users
        return counts

    async def look_at_store(self) -> None:
        """Tell of a store that fails before anybody needs a token."""
        await asyncio.gather(*(self._look_at(source) for source in self.sources.values()))

    async def close(self) -> None:
        """Close every connection, and wait for tokens that are being fetched."""
        present = self._connections.values()
        closing = [connections.close() for connections in present]
        closing += [connections.source.close() for connections in present]
        await asyncio.gather(*self._retiring, *closing)

    def _connected(self, name: str, upstream: Upstream) -> UpstreamConnections:
        """Return what is there already as far as it fits."""
        old = self._connections.get(name)
        if old is not None and old.settings == upstream:
            return old
        if old is not None and _same_token(old.settings, upstream):
            for secret in secrets_of(upstream):
                old.source.redaction.know(secret)
            return UpstreamConnections(name, upstream, old.source)
        return UpstreamConnections(name, upstream, self._build_source(name, upstream))

    def _route(self, kept: set[str]) -> None:
        """Lead requests to the present connections, past the token endpoints of all of them."""
        sources = {name: entry.source for name, entry in self._connections.items()}
        endpoints = [url for source in sources.values() for url in source.provider.endpoints()]
        forwardings = {
            name: self.forwardings[name]
            if name in kept
            else self._build_forwarding(entry, endpoints)
            for name, entry in self._connections.items()
        }
        for name in kept:
            forwardings[name].close_endpoints(endpoints)
        self.sources.clear()
        self.sources.update(sources)
        self.forwardings.clear()
        self.forwardings.update(forwardings)

    def _retire(self, connections: UpstreamConnections, forwarding: Forwarding) -> None:
        async def close_when_unused() -> None:
            await forwarding.unused()
            await connections.close()
            if self.sources.get(connections.name) is not connections.source:
                await connections.source.close()
            if connections.name not in self.sources:
                await self._forget(connections.source)

        task = asyncio.create_task(close_when_unused(), name=f"retire {connections.name}")
        self._retiring[task] = (connections, forwarding)
        task.add_done_callback(self._retiring.pop)

    async def _forget(self, source: Source) -> None:
        """Remove the token of an upstream that is gone; one that cost a human may be wanted yet."""
        if not source.provider.buys:
            return
        try:
            if await source.forget():
                self._observe(TokenDropped(source.name))
        except StoreError as error:
            self._tell(source, error)

    async def _look_at(self, source: Source) -> None:
        try:
            await source.peek()
        except StoreError as error:
            self._tell(source, error)

    def _tell(self, source: Source, error: StoreError) -> None:
        self._observe(TokenFailed(source.name, error.slug, error.detail, error.fix, 0.0))


def _same_token(old: Upstream, new: Upstream) -> bool:
    return (old.provider, old.base_url) == (new.provider, new.base_url)


def _compared(
    before: Mapping[str, UpstreamConnections], after: Mapping[str, UpstreamConnections]
) -> Changes:
    return Changes(
        changed=tuple(name for name in after if name in before and before[name] is not after[name]),
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
    )
