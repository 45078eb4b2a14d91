"""What the dashboard asks the proxy, and what it can have it do, as JSON below `/_sidekey/api/`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from proxy import __version__
from proxy.background import in_background
from proxy.config.effective import Effective
from proxy.credentials.source import Source
from proxy.errors import SignInRequired
from proxy.gateway.recorder import Recorder
from proxy.observe.answers import as_json
from proxy.observe.inspection import Inspection
from proxy.observe.measures import Measures
from proxy.observe.named import source_named
from proxy.observe.overview import Overview
from proxy.observe.pages import Route, Visit, told
from proxy.observe.reloads import Reloads
from proxy.observe.replay import Replay
from proxy.observe.series import STEP
from proxy.observe.stream import Stream, Topic
from proxy.observe.switch import Switch
from proxy.observe.trail import Trail
from proxy.refusals import BadMessage, NotAllowed, UnknownUpstream

CONTENT_LIMIT = 64 * 1024  # bytes that may be sent to the API


class Api:
    """The pages of the API. `sources` may change later."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        overview: Overview,
        trail: Trail,
        recorder: Recorder,
        inspection: Inspection,
        reloads: Reloads,
        effective: Callable[[], Effective | None],
        measures: Measures,
        switch: Switch,
    ) -> None:
        self._sources = sources
        self._overview = overview
        self._trail = trail
        self._recorder = recorder
        self._inspection = inspection
        self._reloads = reloads
        self._replay = Replay(trail, recorder)
        self._effective = effective
        self._started = time.time()
        self._measures = measures
        self._switch = switch
        topics = (
            Topic("upstreams", overview.upstreams),
            Topic("config", self._config),
            Topic("points", self._latest_points),
            Topic("recording", self._recording),
        )
        self.stream = Stream(trail, inspection.line, topics)

    def routes(self) -> list[Route]:
        """Return the pages."""
        return [
            Route("GET", "/api/overview", self.overview),
            Route("GET", "/api/stream", self.stream.page),
            Route("GET", "/api/requests", self.requests),
            Route("GET", "/api/requests/{id}", self.request),
            Route("GET", "/api/config", self.config),
            Route("GET", "/api/series", self.series),
            Route("POST", "/api/requests/{id}/replay", self.replay),
            Route("POST", "/api/recording", self.recording),
            Route("POST", "/api/upstreams/{name}/renew", self.renew),
            Route("POST", "/api/upstreams/{name}/forget", self.forget),
        ]

    async def overview(self, visit: Visit) -> web.Response:
        """Tell how everything is, and the token for what changes something."""
        return as_json(
            {
                "version": __version__,
                "token": told(visit.token),
                "started": self._started,
                "now": time.time(),
                "address": visit.origin,
                "seq": max((step.seq for step in self._trail.steps()), default=0),
                "records_content": self._recorder.records_content,
                "config": await self._config(),
                "upstreams": await self._overview.upstreams(),
            }
        )

    async def requests(self, _visit: Visit) -> web.Response:
        """Tell of the last requests, the newest first."""
        self._trail.look()
        return as_json({"requests": [self._inspection.line(step) for step in self._trail.steps()]})

    async def request(self, visit: Visit) -> web.Response:
        """Tell all that is known of a request."""
        self._trail.look()
        return as_json(self._inspection.details(visit.arguments["id"]))

    async def replay(self, visit: Visit) -> web.Response:
        """Send a request again."""
        step = self._inspection.step(visit.arguments["id"])
        return as_json(await self._replay.send(step))

    async def series(self, _visit: Visit) -> web.Response:
        """Tell of the last hour, in steps of ten seconds."""
        points = [asdict(point) for point in self._measures.series()]
        return as_json({"step": STEP, "points": points})

    async def config(self, _visit: Visit) -> web.Response:
        """Tell every value of the configuration in effect, and where it came from."""
        effective = self._effective()
        if effective is None:
            raise UnknownUpstream("this proxy was started without a file", fix="see sidekey demo")
        members = await asyncio.wrap_future(in_background(effective.members))  # 1 ms an upstream
        return as_json(members)

    async def recording(self, visit: Visit) -> web.Response:
        """Begin or end to record contents; what was recorded is forgotten at the end."""
        wanted = (await content_of(visit)).get("content")
        if not isinstance(wanted, bool):
            raise BadMessage('expected {"content": true} or false', fix="send one of these")
        self._switch.turn(on=wanted)
        return as_json({"records_content": wanted})

    async def renew(self, visit: Visit) -> web.Response:
        """Renew a token now."""
        name, source = self._source(visit)
        if source.provider.interactive:
            fix = f"sidekey login {name}"
            raise SignInRequired("only a human gets another token", upstream=name, fix=fix)
        if not source.provider.buys:
            raise NotAllowed("its keys stand in the configuration", upstream=name)
        await source.refresh()
        return as_json(await self._overview.upstream(name))

    async def forget(self, visit: Visit) -> web.Response:
        """Forget a token."""
        name, source = self._source(visit)
        await source.forget()
        return as_json(await self._overview.upstream(name))

    async def _recording(self) -> dict[str, Any]:
        return {"records_content": self._recorder.records_content}

    async def _latest_points(self) -> dict[str, Any]:
        points = self._measures.points_since(time.time())
        return {"points": [asdict(point) for point in points]}

    async def _config(self) -> dict[str, Any]:
        effective = self._effective()
        path = None if effective is None else str(effective.path)
        return {"path": path, **self._reloads.members()}

    def _source(self, visit: Visit) -> tuple[str, Source]:
        name = visit.arguments["name"]
        return name, source_named(self._sources, name)


async def content_of(visit: Visit) -> dict[str, Any]:
    """Return the JSON object that was sent. Raises `BadMessage` if there is none."""
    content = bytearray()
    async for data in visit.request.content.iter_any():
        content += data
        if len(content) > CONTENT_LIMIT:
            break
    try:
        members = json.loads(content)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise BadMessage("the content is no JSON object", fix="send a JSON object")
    return members
