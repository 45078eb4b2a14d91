"""What the dashboard shows of each upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from proxy.config.issues import KeyPath
from proxy.config.models import Settings
from proxy.credentials.source import Source
from proxy.errors import CredentialExhausted, UpstreamTimeout, UpstreamUnreachable
from proxy.events import RequestAnswered, RequestForwarded, RequestRefused
from proxy.observe.curl import curl_line
from proxy.observe.named import source_named
from proxy.observe.status import status_of
from proxy.observe.trail import Trail

UNAVAILABLE = (UpstreamTimeout.slug, UpstreamUnreachable.slug)


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
        trail: Trail,
        masked: Callable[[str], str],
        variables: Callable[[], Mapping[KeyPath, str]] = dict,
    ) -> None:
        self._sources = sources
        self._settings = settings
        self._urls = urls
        self._trail = trail
        self._masked = masked
        self._variables = variables

    async def upstreams(self) -> list[dict[str, Any]]:
        """Return what there is to tell of each upstream, ready for JSON."""
        settings = self._settings()  # now: others may take their place while we look
        looking = [self._told(source, settings) for source in self._sources.values()]
        return await asyncio.gather(*looking)

    async def upstream(self, name: str) -> dict[str, Any]:
        """Return what there is to tell of one upstream. Raises `UnknownUpstream`."""
        return await self._told(source_named(self._sources, name), self._settings())

    async def _told(self, source: Source, settings: Settings) -> dict[str, Any]:
        name = source.name
        upstream = settings.upstreams[name]
        status = await status_of(source)
        url = self._urls(name)
        return {
            **(self._last_failure(name) | status.members()),
            "url": url,
            "base_url": self._masked(upstream.base_url),
            "provider": upstream.provider.type,
            "preset": upstream.preset,
            "interactive": source.provider.interactive,
            "kept": source.provider.kept,
            "renewable": source.provider.buys,
            "curl": curl_line(name, url, upstream, settings.clients, self._variables()),
        }

    def _last_failure(self, name: str) -> dict[str, Any]:
        """Return what was wrong with the last request: a token may be good, and no use.

        A local answer says nothing of that.
        """
        facts = (step.fact for step in self._trail.steps() if step.fact.upstream == name)
        last = next((fact for fact in facts if not isinstance(fact, RequestAnswered)), None)
        if isinstance(last, RequestForwarded) and last.rejected:
            return {
                "problem": CredentialExhausted.slug,
                "error": "the upstream rejected the credential of the last request",
                "fix": f"correct upstreams.{name}.provider",
            }
        if isinstance(last, RequestRefused) and last.slug in UNAVAILABLE:
            return {"problem": last.slug, "error": self._masked(last.detail), "fix": last.fix}
        return {}
