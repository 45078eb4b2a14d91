"""Where every request enters: who sent it, what it wants, and what it gets if that fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Container, Mapping

from aiohttp import web

from proxy.credentials.redaction import Redaction
from proxy.errors import SidekeyError
from proxy.events import Observer, RequestAborted, RequestRefused
from proxy.gateway.accepted import Accepted
from proxy.gateway.clients import Clients
from proxy.gateway.cross_origin import let_read, permission
from proxy.gateway.fast_lane import FastLane
from proxy.gateway.forwarding import Forwarding
from proxy.gateway.guard import Caller, Guard, Listener
from proxy.gateway.problems import ERROR_FIELD, login_url, problem
from proxy.gateway.recorded import record_of
from proxy.gateway.recorder import Recorder
from proxy.gateway.request_id import new_request_id
from proxy.gateway.route import (
    OWN_PREFIX,
    check_navigation,
    check_served,
    is_front_door,
    is_own,
    route,
)
from proxy.gateway.server import connection_of
from proxy.gateway.target import split_prefix
from proxy.gateway.trace_context import trace_of
from proxy.observe.markup import prefers_html
from proxy.observe.pages import READING, OwnPages
from proxy.refusals import STRANGERS, BadTarget

PATH_LIMIT = 2048  # characters of a path that are told,
METHOD_LIMIT = 32  # and of a method: whoever sends more than that is refused


class Gateway:
    """Leads requests to the upstreams by prefix, by own port, or by `NAME.localhost`.

    `forwardings` may change later.
    """

    def __init__(
        self,
        forwardings: Mapping[str, Forwarding],
        pages: OwnPages,
        clients: Clients,
        observe: Observer,
        redaction: Redaction,
        accepted: Accepted,
        recorder: Recorder,
    ) -> None:
        self._forwardings = forwardings
        self._pages = pages
        self._clients = clients
        self._observe = observe
        self._redaction = redaction
        self._accepted = accepted
        self._recorder = recorder

    @property
    def served(self) -> Container[str]:
        """The names of the upstreams, as they are at any time."""
        return self._forwardings.keys()

    def fast_lane(self, guard: Guard) -> FastLane:
        """Return the fast lane for the requests that `guard` lets in."""
        return FastLane(self, guard.listener, self._accepted, self._recorder)

    def behind(self, guard: Guard) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """Return what answers the requests that `guard` lets in."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return await self._answer(request, guard)

        return answer

    async def _answer(self, request: web.BaseRequest, guard: Guard) -> web.StreamResponse:
        request_id, began = new_request_id(), time.monotonic()
        name: str | None = None
        caller: Caller | None = None
        try:
            caller = guard.check(request)
            connection_of(request).trusted = True
            if caller.preflight:
                return permission(request)
            if is_own(caller.target):
                return await self._own_page(request, caller, guard.listener)
            if is_front_door(guard.listener, caller, request):
                return web.Response(status=302, headers={"Location": f"/{OWN_PREFIX}/"})
            check_navigation(caller)
            name, rest = route(guard.listener, caller.host, caller.target)
            begun, block = connection_of(request).begun, connection_of(request).block
            epoch = self._accepted.epoch
            # What has been sent stays where it is, whoever has got the name meanwhile.
            forwarding = begun.forwarding if begun is not None else self._forwarding(name, caller)
            answer = await forwarding.forward(request, rest, request_id, caller)
            if block is not None and epoch == self._accepted.epoch:
                self._let_in(block, guard.listener, caller)
            return answer
        except SidekeyError as error:
            self._tell(request, error, name, request_id, began)
            return await self._problem(request, error, request_id, caller, guard.listener)
        except asyncio.CancelledError:
            if name is not None:  # who leaves a page of ours has seen enough
                self._recorder.keep(request_id, record_of(request))
                self._observe(
                    RequestAborted(
                        request_id=request_id,
                        upstream=name,
                        method=request.method,
                        path=_path_of(request.raw_path),
                        reason="the client left, or the proxy stopped",
                        seconds=time.monotonic() - began,
                        trace=trace_of(request.headers),
                    )
                )
            raise

    def _let_in(self, block: bytes, listener: Listener, caller: Caller) -> None:
        """Note for the fast lane that a head is no reason to refuse anything, with any target.

        Strangers never come so far: what the fast lane remembers is not theirs to fill.
        """
        if not (caller.navigating or caller.returning) and caller.origin is None:
            self._accepted.host(listener, block, caller.host)

    async def _own_page(
        self, request: web.BaseRequest, caller: Caller, listener: Listener
    ) -> web.StreamResponse:
        _, rest = split_prefix(caller.target)
        return await self._pages.answer(
            request,
            rest.path,
            known=self._is_known(caller, request),
            is_ours=caller.origin is None,
            origin=_called_at(request, listener),
        )

    def _is_known(self, caller: Caller, request: web.BaseRequest) -> bool:
        """Tell whether a caller of our own pages may call: there a key is a Bearer token."""
        shown = request.headers.getall("Authorization", [])
        return caller.known or self._clients.has_key(shown)

    def forwarding(self, name: str) -> Forwarding | None:
        """Return what forwards to the upstream of that name, if there is one."""
        return self._forwardings.get(name)

    def _forwarding(self, name: str, caller: Caller) -> Forwarding:
        check_served(name, self._forwardings, caller, self._clients)
        return self._forwardings[name]

    def _tell(
        self,
        request: web.BaseRequest,
        error: SidekeyError,
        name: str | None,
        request_id: str,
        began: float,
    ) -> None:
        """Tell of a request that is refused, and let the error know whom it is about."""
        if name in self._forwardings and not isinstance(error, STRANGERS):
            error.upstream = name  # a stranger learns no names
        error.with_traceback(None)  # a source raises one error again and again: it would keep all
        self._recorder.keep(request_id, record_of(request))
        self._observe(
            RequestRefused(
                request_id=request_id,
                upstream=error.upstream,
                method=request.method[:METHOD_LIMIT],
                path="" if isinstance(error, BadTarget) else _path_of(request.raw_path),
                status=error.status,
                slug=error.slug,
                detail=error.detail,
                fix=error.fix,
                seconds=time.monotonic() - began,
                trace=trace_of(request.headers),
            )
        )

    async def _problem(
        self,
        request: web.BaseRequest,
        error: SidekeyError,
        request_id: str,
        caller: Caller | None,
        listener: Listener,
    ) -> web.StreamResponse:
        """Say what went wrong: to a browser that opens a page in HTML, and how to sign in there.

        What a page of another origin may read has no such page: there is our own token in it.
        """
        origin = None if caller is None else _called_at(request, listener)
        foreign = None if caller is None else caller.origin
        as_page = foreign is None and prefers_html(request.headers.get("Accept", ""))
        if as_page and request.method in READING and login_url(error, origin) is not None:
            page = await self._pages.answer(
                request, f"/login/{error.upstream}", known=True, is_ours=True, origin=origin
            )
            page.set_status(error.status)
            page.headers[ERROR_FIELD] = error.slug
            return page
        masked = self._redaction.masked
        answer = problem(error, request_id, masked=masked, origin=origin, as_page=as_page)
        if foreign is not None:
            let_read(answer.headers, foreign)
        return answer


def _called_at(request: web.BaseRequest, listener: Listener) -> str | None:
    """Return the origin at which a browser has called, once the guard has let it in."""
    return None if listener.port is None else f"http://{request.headers['Host'].strip()}"


def _path_of(raw: str) -> str:
    """Return the path of a target as it may be told: ASCII, and no longer than any API's.

    Of an absolute one nothing is: it may hold `user:password@`.
    """
    path = raw[:PATH_LIMIT].partition("?")[0] if raw.startswith("/") else ""
    return path.encode("ascii", "replace").decode()
