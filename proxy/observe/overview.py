"""What the dashboard shows of each upstream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from proxy.config.issues import KeyPath
from proxy.config.models import Settings
from proxy.credentials.source import Source
from proxy.observe.curl import curl_line
from proxy.observe.last_requests import LastRequests
from proxy.observe.named import source_named
from proxy.observe.status import Status


class Overview:
    """Tells of the upstreams as they are configured now.

    `sources` and `urls` may change later; the URLs are where clients point their base URL. A base
    URL may hold a secret, which `masked` takes out. `variables` are those whose values stand in the
    configuration, by their place there.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        settings: Callable[[], Settings],
        urls: Callable[[str], str],
        last_requests: LastRequests,
        masked: Callable[[str], str],
        variables: Callable[[], Mapping[KeyPath, str]] = dict,
    ) -> None:
        self._sources = sources
        self._settings = settings
        self._urls = urls
        self._last_requests = last_requests
        self._masked = masked
        self._variables = variables

    async def upstreams(self) -> list[dict[str, Any]]:
        """Return what there is to tell of each upstream, ready for JSON."""
        settings = self._settings()  # now: others may take their place while we look
        sources = tuple(self._sources.values())
        statuses = await self._last_requests.statuses_of(sources)
        return [
            self._told(source, status, settings)
            for source, status in zip(sources, statuses, strict=True)
        ]

    async def upstream(self, name: str) -> dict[str, Any]:
        """Return what there is to tell of one upstream. Raises `UnknownUpstream`."""
        source, settings = source_named(self._sources, name), self._settings()
        return self._told(source, await self._last_requests.status_of(source), settings)

    def _told(self, source: Source, status: Status, settings: Settings) -> dict[str, Any]:
        name = source.name
        upstream = settings.upstreams[name]
        url = self._urls(name)
        return {
            **status.members(),
            "url": url,
            "base_url": self._masked(upstream.base_url),
            "provider": upstream.provider.type,
            "preset": upstream.preset,
            "interactive": source.provider.interactive,
            "kept": source.provider.kept,
            "renewable": source.provider.buys,
            "curl": curl_line(name, url, upstream, settings.clients, self._variables()),
        }
