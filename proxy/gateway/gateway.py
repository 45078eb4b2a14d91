"""Where every request enters: who sent it, what it wants, and what it gets if that fails."""

from __future__ import annotations

import asyncio
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
from proxy.gateway.guard import OWN_HOST_SUFFIX, Caller, Guard, Listener
from proxy.gateway.problems import problem
from proxy.gateway.request_id import new_request_id
from proxy.gateway.server import connection_of
from proxy.gateway.target import Target, split_prefix
from proxy.observe.pages import Page
from proxy.refusals import (
    BadTarget,
    ClientKeyRequired,
    CrossSiteRefused,
    MethodNotAllowed,
    UnknownUpstream,
)

READING = frozenset({"GET", "HEAD"})
OWN_PREFIX = "_sidekey"


class Gateway:
    """Leads requests to the upstreams by prefix, by own port, or by `NAME.localhost`.

    `forwardings` may change later.
    """

    def __init__(
        self,
        forwardings: Mapping[str, Forwarding],
        pages: Mapping[str, Page],
        clients: Clients,
        observe: Observer,
        redaction: Redaction,
        accepted: Accepted,
    ) -> None:
        self._forwardings = forwardings
        self._pages = pages
        self._clients = clients
        self._observe = observe
        self._redaction = redaction
        self._accepted = accepted

    @property
    def served(self) -> Container[str]:
        """The names of the upstreams, as they are at any time."""
        return self._forwardings.keys()

    def fast_lane(self, guard: Guard) -> FastLane:
        """Return the fast lane for the requests that `guard` lets in."""
        return FastLane(self, guard.listener, self._accepted)

    def behind(self, guard: Guard) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """Return what answers the requests that `guard` lets in."""

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return await self._answer(request, guard)

        return answer

    async def _answer(self, request: web.BaseRequest, guard: Guard) -> web.StreamResponse:
        request_id = new_request_id()
        name: str | None = None
        caller: Caller | None = None
        try:
            caller = guard.check(request)
            self._let_in(request, guard.listener, caller)
            if caller.preflight:
                return permission(request)
            own = self._own_page(caller.target)
            if own is not None:
                _check_reading(request.method)
                return await own(self._is_known(caller, request))
            _check_navigation(caller)
            name, rest = self.route(guard.listener, caller.host, caller.target)
            begun = connection_of(request).begun
            # What has been sent stays where it is, whoever has got the name meanwhile.
            forwarding = begun.forwarding if begun is not None else self._forwarding(name, caller)
            return await forwarding.forward(request, rest, request_id, caller)
        except SidekeyError as error:
            answer = self._refuse(request, error, name, request_id)
            if caller is not None and caller.origin is not None:
                let_read(answer.headers, caller.origin)
            return answer
        except asyncio.CancelledError:
            path = _path_of(request.raw_path)
            why = "the client left, or the proxy stopped"
            self._observe(RequestAborted(request_id, name or "", request.method, path, why))
            raise

    def _let_in(self, request: web.BaseRequest, listener: Listener, caller: Caller) -> None:
        """Note that the head is no reason to refuse anything, for the fast lane."""
        connection = connection_of(request)
        connection.trusted = True
        if connection.block is not None and not caller.navigating and caller.origin is None:
            self._accepted.host(listener, connection.block, caller.host)

    def is_own(self, target: Target) -> bool:
        """Tell whether a target is one of our own pages, on every listener and host."""
        return split_prefix(target)[0] == OWN_PREFIX

    def _own_page(self, target: Target) -> Page | None:
        if not self.is_own(target):
            return None
        _, rest = split_prefix(target)
        page = self._pages.get(rest.path)
        if page is None:
            known = ", ".join(f"/{OWN_PREFIX}{name}" for name in self._pages)
            raise UnknownUpstream(f"sidekey has no page {target.path}", fix=f"call one of {known}")
        return page

    def route(self, listener: Listener, host: str, target: Target) -> tuple[str, Target]:
        """Return the upstream's name and the rest of the target, wherever the name stands."""
        if listener.upstream is not None:
            return listener.upstream, target
        if host.endswith(OWN_HOST_SUFFIX):
            return host.removesuffix(OWN_HOST_SUFFIX), target
        return split_prefix(target)

    def _is_known(self, caller: Caller, request: web.BaseRequest) -> bool:
        """Tell whether a caller of our own pages may call: there a key is a Bearer token."""
        shown = request.headers.getall("Authorization", [])
        return caller.known or self._clients.has_key(shown)

    def forwarding(self, name: str) -> Forwarding | None:
        """Return what forwards to the upstream of that name, if there is one."""
        return self._forwardings.get(name)

    def _forwarding(self, name: str, caller: Caller) -> Forwarding:
        if name not in self._forwardings:
            if not caller.known:
                raise self._clients.refusal()  # who is not known learns no names
            known = ", ".join(f"/{known}/" for known in self._forwardings)
            raise UnknownUpstream("no upstream has this route", fix=f"call one of {known}")
        return self._forwardings[name]

    def _refuse(
        self, request: web.BaseRequest, error: SidekeyError, name: str | None, request_id: str
    ) -> web.Response:
        if name in self._forwardings and not isinstance(error, ClientKeyRequired):
            error.upstream = name  # a stranger learns no names
        error.with_traceback(None)  # a source raises one error again and again: it would keep all
        self._observe(
            RequestRefused(
                request_id=request_id,
                upstream=error.upstream,
                method=request.method,
                path="" if isinstance(error, BadTarget) else _path_of(request.raw_path),
                status=error.status,
                slug=error.slug,
                detail=error.detail,
            )
        )
        return problem(error, request_id, masked=self._redaction.masked)


def _check_reading(method: str) -> None:
    if method not in READING:
        raise MethodNotAllowed("sidekey's own pages are for reading", allowed=READING)


def _check_navigation(caller: Caller) -> None:
    if caller.navigating:
        raise CrossSiteRefused(
            "a browser opened this address: a link in any document can make it do so",
            fix="call it from a program, or set listen.browser_navigation: true",
        )


def _path_of(raw: str) -> str:
    """Return the path of a target, nothing of an absolute one: it may hold `user:password@`."""
    return raw.partition("?")[0] if raw.startswith("/") else ""
