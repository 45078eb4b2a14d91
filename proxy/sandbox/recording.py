"""What a sandbox upstream writes down about its requests, and the faults it makes on demand.

Used by the J-Quants, portal and kabu Station sandboxes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web
from aiohttp.typedefs import Handler

CONTENT_KEPT = 64 * 1024
"""Bytes of each request's content that are kept."""

REQUESTS_KEPT = 1000

CONTENT_LIMIT = 32 * 1024 * 1024
"""Bytes of content that an upstream reads before it answers 413."""

ErrorAnswer = Callable[[int], web.Response]
"""Words an HTTP status the way one upstream words it; may change the status (404 to 403)."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it came off the wire: nothing decoded, merged or reordered."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    content: bytes

    def header(self, name: str) -> list[str]:
        """Every value that was sent under `name` (any case), in order; empty if there is none."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(slots=True)
class _PlannedFailure:
    remaining: int
    status: int
    path_prefix: str


class Faults:
    """Failures on demand. A failing request never reaches the endpoint, so it has no effect."""

    def __init__(self) -> None:
        self.delay = timedelta(0)
        """How long every answer is held back."""
        self._planned: list[_PlannedFailure] = []

    def fail_next(self, n: int, status: int, *, path_prefix: str = "/") -> None:
        """Answer the next `n` requests to paths that start with `path_prefix` with `status`."""
        self._planned.append(_PlannedFailure(n, status, path_prefix))

    def take(self, path: str) -> int | None:
        """Use up one planned failure for `path` and return its status, or None."""
        for planned in self._planned:
            if planned.remaining > 0 and path.startswith(planned.path_prefix):
                planned.remaining -= 1
                return planned.status
        return None


class Recording:
    """The calls and requests that one sandbox upstream received, and its faults."""

    def __init__(self, error: ErrorAnswer) -> None:
        self.calls: Counter[str] = Counter()
        self.requests: deque[RecordedRequest] = deque(maxlen=REQUESTS_KEPT)
        self.faults = Faults()
        self._error = error

    def application(self, routes: Iterable[web.RouteDef]) -> web.Application:
        """Serve `routes`, writing down every request, also one to an unknown path."""
        application = web.Application(middlewares=[self._record], client_max_size=CONTENT_LIMIT)
        application.add_routes(list(routes))
        return application

    @web.middleware
    async def _record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.calls[request.path] += 1
        try:
            content = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._error(413)
        self.requests.append(_recorded(request, content))
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay.total_seconds())
        failure = self.faults.take(request.path)
        if failure is not None:
            return self._error(failure)
        try:
            return await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as refusal:
            return self._error(refusal.status)


def _recorded(request: web.Request, content: bytes) -> RecordedRequest:
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
    )
    return RecordedRequest(request.method, request.raw_path, headers, content[:CONTENT_KEPT])
