"""What happens, as server-sent events, for as long as somebody looks (HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from proxy.gateway.problems import PROTECTION
from proxy.observe.pages import Visit
from proxy.observe.trail import Step, Trail

INTERVAL = 0.25  # seconds between two looks at the trail
SLOWLY = 4  # looks at the trail for each look at all the rest
NEWEST = 50  # requests of one interval that are told; the others are counted
QUIET = 15.0  # seconds after which a comment shows that the stream lives
TYPE = "text/event-stream"
_NUMBER = re.compile("[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that is told anew when it has changed."""

    name: str
    look: Callable[[], Awaitable[Any]]


class Stream:
    """Tells what is new to everybody who looks; nothing runs while nobody does."""

    def __init__(
        self, trail: Trail, line: Callable[[Step], dict[str, Any]], topics: tuple[Topic, ...]
    ) -> None:
        self._trail = trail
        self._line = line
        self._topics = topics
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End every stream: the proxy stops."""
        self._stopped.set()

    async def page(self, visit: Visit) -> web.StreamResponse:
        """Answer with the stream, which begins after the request that the query names."""
        since = visit.request.query.get("since", "")
        self._trail.look()
        is_number = _NUMBER.fullmatch(since) is not None
        count = self._trail.count_until(int(since)) if is_number else self._trail.count
        response = web.StreamResponse(headers={**PROTECTION, "Content-Type": TYPE})
        response.force_close()  # the next request of this browser needs no such connection
        await response.prepare(visit.request)
        if visit.request.method == "HEAD":
            return response
        viewer = _Viewer(self._trail, self._line, self._topics, count)
        with suppress(ConnectionError):
            while not self._stopped.is_set():
                text = await viewer.news()
                if text:
                    await response.write(text.encode())
                with suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL):
                        await self._stopped.wait()
        return response


class _Viewer:
    """Somebody who looks, and what has been told so far."""

    def __init__(
        self,
        trail: Trail,
        line: Callable[[Step], dict[str, Any]],
        topics: tuple[Topic, ...],
        count: int,
    ) -> None:
        self._trail = trail
        self._line = line
        self._topics = topics
        self._count = count
        self._told: dict[str, str] = {}
        self._looks = 0
        self._last = 0.0

    async def news(self) -> str:
        """Return what there is to tell, empty if nothing."""
        text = self._requests()
        if self._looks % SLOWLY == 0:
            for topic in self._topics:
                text += await self._changed(topic)
        self._looks += 1
        now = time.monotonic()
        if not text and now - self._last < QUIET:
            return ""
        self._last = now
        return text or ": nothing new\n\n"

    def _requests(self) -> str:
        self._trail.look()
        new = self._trail.count - self._count
        if not new:
            return ""
        newest = self._trail.since(max(self._count, self._trail.count - NEWEST))
        self._count = self._trail.count
        lines = [self._line(step) for step in newest]
        return event("requests", {"requests": lines, "skipped": new - len(lines)})

    async def _changed(self, topic: Topic) -> str:
        text = event(topic.name, await topic.look())
        if self._told.get(topic.name) == text:
            return ""
        self._told[topic.name] = text
        return text


def event(name: str, members: Any) -> str:
    """Return an event of a stream."""
    return f"event: {name}\ndata: {json.dumps(members, ensure_ascii=False)}\n\n"
