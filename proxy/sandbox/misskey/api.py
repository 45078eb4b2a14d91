"""The paths under `/api/`: CORS, unknown endpoints, methods, and the way to an endpoint."""

from __future__ import annotations

import re

from aiohttp import web

from proxy.sandbox.misskey.arrivals import Arrival
from proxy.sandbox.misskey.calling import call_endpoint
from proxy.sandbox.misskey.content import BODY_LIMIT, read_params
from proxy.sandbox.misskey.endpoints import endpoints_of
from proxy.sandbox.misskey.endpoints.apps import check
from proxy.sandbox.misskey.errors import UNKNOWN_API_ENDPOINT, ApiError, FastifyError
from proxy.sandbox.misskey.limits import RateLimiter
from proxy.sandbox.misskey.responses import (
    api_error_response,
    api_response,
    fastify_error_response,
    route_not_found,
    with_api_fields,
)
from proxy.sandbox.misskey.state import State

_CHECK = re.compile(r"miauth/([^/]+)/check")


class Api:
    """Answers what comes in under `/api/`."""

    def __init__(self, state: State, *, rate_limits: bool) -> None:
        self._state = state
        self._endpoints = endpoints_of(state.release)
        self._limiter = RateLimiter() if rate_limits else None

    async def answer(self, arrival: Arrival) -> web.Response:
        """The response to one request.

        Raises:
            NeverAnsweredError: a real server would leave this one open for ever.
        """
        if arrival.method == "OPTIONS":
            return _preflight(arrival)
        try:
            return await self._route(arrival)
        except ApiError as error:
            return api_error_response(error, self._state.release)
        except FastifyError as error:
            return with_api_fields(fastify_error_response(error), self._state.release)

    async def _route(self, arrival: Arrival) -> web.Response:
        name = arrival.path.removeprefix("/api/")
        session = _CHECK.fullmatch(name)
        if session and arrival.method == "POST":
            # Not authenticated at all: a wrong token does no harm here.
            await read_params(arrival, self._state.release)
            return api_response(check(self._state, session[1]), self._state.release)
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            return await self._unknown(arrival)
        if arrival.method == "GET" and endpoint.cache_seconds is None:
            return with_api_fields(web.Response(status=405), self._state.release)
        return await call_endpoint(arrival, name, endpoint, self._state, self._limiter)

    async def _unknown(self, arrival: Arrival) -> web.Response:
        """Only GET and HEAD have a catch-all route of Misskey's own."""
        if arrival.method in ("GET", "HEAD"):
            raise ApiError(UNKNOWN_API_ENDPOINT)
        await arrival.body(BODY_LIMIT)
        return route_not_found(arrival.method, arrival.request.raw_path)


def _preflight(arrival: Arrival) -> web.Response:
    """The answer of @fastify/cors, the same for known and unknown endpoints."""
    headers = arrival.request.headers
    origin = {"Access-Control-Allow-Origin": "*"}
    if "Origin" not in headers or "Access-Control-Request-Method" not in headers:
        fields = {**origin, "Content-Type": "text/plain"}
        return web.Response(status=400, body=b"Invalid Preflight Request", headers=fields)
    fields = {
        **origin,
        "Access-Control-Allow-Methods": "GET,HEAD,PUT,PATCH,POST,DELETE",
        "Vary": "Access-Control-Request-Headers",
    }
    asked = headers.get("Access-Control-Request-Headers")
    if asked is not None:
        fields["Access-Control-Allow-Headers"] = asked
    return web.Response(status=204, headers=fields)
