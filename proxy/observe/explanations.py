"""What would become of a request, for whoever asks the running proxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from proxy.config.models import Settings
from proxy.credentials.redaction import Redaction
from proxy.credentials.source import Source
from proxy.errors import ConfigError
from proxy.gateway.explanation import explain
from proxy.observe.answers import as_json
from proxy.observe.pages import Visit
from proxy.observe.status import statuses_of
from proxy.refusals import BadTarget


class Explanations:
    """Explains requests by the settings of that moment. `sources` may change later."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        settings: Callable[[], Settings],
        redaction: Redaction,
    ) -> None:
        self._sources = sources
        self._settings = settings
        self._redaction = redaction

    async def page(self, visit: Visit) -> web.Response:
        """Explain the request that `method` and `url` of the query name; nothing is sent.

        Raises `BadTarget` for what is no URL.
        """
        query = visit.request.query
        states = {status.upstream: status for status in await statuses_of(self._sources)}
        method, url = query.get("method", "GET").upper(), query.get("url", "")
        try:
            explanation = explain(
                self._settings(), method, url, states=states, redaction=self._redaction
            )
        except ConfigError as error:
            raise BadTarget(
                error.issues[0], fix="give a URL, or a path such as /NAME/rest"
            ) from None
        return as_json(explanation.members())
