"""What programs ask a running proxy: is it alive, can it serve, how are the tokens?"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from proxy.credentials.source import Source
from proxy.observe.answers import as_json
from proxy.observe.last_requests import LastRequests
from proxy.observe.pages import Route, Visit
from proxy.observe.reloads import Reloads
from proxy.observe.status import SERVING, Status, statuses_of


class Probes:
    """The pages for health checks and for `sidekey status`; `sources` may change later."""

    def __init__(
        self, sources: Mapping[str, Source], last_requests: LastRequests, reloads: Reloads
    ) -> None:
        self._sources = sources
        self._last_requests = last_requests
        self._reloads = reloads

    def routes(self) -> list[Route]:
        """Return the pages."""
        return [
            Route("GET", "/healthz", self.healthz, is_open=True),
            Route("GET", "/readyz", self.readyz, is_open=True),
            Route("GET", "/status", self.status),
        ]

    async def statuses(self) -> list[Status]:
        """Return the state of each upstream's token."""
        return await statuses_of(self._sources)

    async def healthz(self, _visit: Visit) -> web.Response:
        """Say that this process answers."""
        return as_json({"status": "ok"})

    async def readyz(self, visit: Visit) -> web.Response:
        """Say whether any upstream can serve: one that waits for a login stops no other."""
        said = await self.statuses()
        ready = any(status.state in SERVING for status in said)
        details = {"upstreams": [status.members() for status in said]} if visit.known else {}
        return as_json({"ready": ready, **details}, 200 if ready else 503)

    async def status(self, _visit: Visit) -> web.Response:
        """Say how each token is, and whether the configuration in use is that of the file.

        A token that is good may be no use: then, what was wrong with the last request.
        """
        said = await self._last_requests.statuses_of(tuple(self._sources.values()))
        upstreams = [status.members() for status in said]
        return as_json({**self._reloads.members(), "upstreams": upstreams})
