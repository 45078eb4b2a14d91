"""What the running proxy shows of itself: its own pages, and the observers that feed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.config.effective import Effective
from proxy.config.issues import KeyPath
from proxy.config.models import Settings
from proxy.credentials.redaction import Redaction
from proxy.credentials.secret import Secret
from proxy.credentials.source import Source
from proxy.errors import SidekeyError
from proxy.events import Event, Observer, RequestForwarded
from proxy.gateway.recorder import Recorder
from proxy.observe.api import Api
from proxy.observe.document_pages import document_routes
from proxy.observe.explanations import Explanations
from proxy.observe.inspection import Inspection
from proxy.observe.last_requests import LastRequests
from proxy.observe.login_routes import LoginRoutes
from proxy.observe.measures import Measures
from proxy.observe.metrics import Metrics
from proxy.observe.overview import Overview
from proxy.observe.pages import OwnPages, Route, new_page_token
from proxy.observe.probes import Probes
from proxy.observe.reloads import Reloads
from proxy.observe.sharing import Sharing
from proxy.observe.sign_ins import SignIns
from proxy.observe.static_files import static_routes
from proxy.observe.story import Story
from proxy.observe.stream import Stream
from proxy.observe.switch import Switch
from proxy.observe.trail import Trail


@dataclass
class Served:
    """What is served where, as it is now."""

    settings: Settings
    addresses: tuple[str, ...]
    urls: Mapping[str, str] = field(default_factory=dict)

    def url(self, name: str) -> str:
        """Return where clients point the base URL of an upstream, a new one too."""
        return self.urls.get(name) or f"{self.addresses[0]}/{name}"

    def bound(self) -> Settings:
        """Return the settings with the port that was taken, where any would do."""
        listen = self.settings.listen
        if listen.unix_socket is not None or listen.port:
            return self.settings
        port = int(self.addresses[0].rpartition(":")[2])
        return self.settings.model_copy(update={"listen": listen.model_copy(update={"port": port})})


class Face:
    """The pages, and what they know. `recorder` gets what requests look like.

    `effective` tells where the settings of that moment came from, `None` if from no file. `token`
    is what our pages prove themselves with, if several processes have to know it; `sharing` is how
    each of them tells of all. `logins` is the folder by which sign-ins of other processes are
    noticed, if there may be any.
    """

    def __init__(
        self,
        effective: Callable[[], Effective | None] = lambda: None,
        token: Secret | None = None,
        sharing: Sharing | None = None,
        logins: Path | None = None,
    ) -> None:
        self.logins = logins
        self.sharing = sharing
        self._effective = effective
        self._token = token or new_page_token()
        self._stream: Stream | None = None
        self.recorder = Recorder()
        self._switch = Switch(self.recorder, sharing)
        self.trail = Trail(sharing)
        self.last_requests = LastRequests(self.trail)
        self.story = Story()
        self.reloads = Reloads()
        self.measures = Measures(sharing)

    def observers(self, observe: Observer) -> Observer:
        """Return an observer that tells `observe`, and the pages."""
        trail, story, reloads = self.trail.observe, self.story.observe, self.reloads.observe
        measure, last_requests = self.measures.observe, self.last_requests.observe

        def observe_all(event: Event) -> None:
            observe(event)
            measure(event)
            trail(event)
            if not isinstance(event, RequestForwarded):  # those come by the thousand
                story(event)
                reloads(event)
                last_requests(event)

        return observe_all

    def pages(
        self,
        sources: Mapping[str, Source],
        served: Served,
        redaction: Redaction,
        refusal: Callable[[], SidekeyError],
        sign_ins: SignIns,
    ) -> OwnPages:
        """Return our own pages; `sources` and `served` may change later.

        `refusal` is for callers that nobody knows.
        """
        overview = Overview(
            sources,
            lambda: served.settings,
            served.url,
            self.last_requests,
            redaction.masked,
            self._variables,
        )
        inspection = Inspection(
            self.trail, self.recorder, self.story, redaction, lambda: served.settings
        )
        api = Api(
            sources,
            overview,
            self.trail,
            self.recorder,
            inspection,
            self.reloads,
            self._effective,
            self.measures,
            self._switch,
        )
        self._stream = api.stream
        probes = Probes(sources, self.last_requests, self.reloads)
        explanations = Explanations(sources, served.bound, redaction)
        routes = [
            *static_routes(),
            *document_routes(),
            *probes.routes(),
            *Metrics(self.measures, probes.statuses).routes(),
            *LoginRoutes(sources, sign_ins, self.last_requests, refusal).routes(),
            *api.routes(),
            Route("GET", "/api/explain", explanations.page),
        ]
        return OwnPages(routes, self._token, refusal)

    def _variables(self) -> Mapping[KeyPath, str]:
        effective = self._effective()
        return {} if effective is None else effective.origins.copies

    def stop(self) -> None:
        """End what would go on as long as somebody looks."""
        if self._stream is not None:
            self._stream.stop()
