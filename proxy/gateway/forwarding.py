"""The straight line of one request, from the client's message to the client's answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import web

from proxy.config.models import ClientTimeouts
from proxy.credentials.token import Token
from proxy.errors import CredentialExhausted, SidekeyError
from proxy.events import Observer, RequestAborted, RequestForwarded
from proxy.gateway.access import Access, content_of
from proxy.gateway.answer import ForwardedResponse, pass_on
from proxy.gateway.clients import Clients
from proxy.gateway.content import ClientContent
from proxy.gateway.cross_origin import let_read
from proxy.gateway.fields import check_hops
from proxy.gateway.guard import Caller
from proxy.gateway.limits import Limits
from proxy.gateway.preparation import PROCESS, Preparation, Prepared
from proxy.gateway.reset import reset_at_close
from proxy.gateway.target import Target, check_path
from proxy.gateway.upstream import UpstreamConnections, UpstreamResponse
from proxy.gateway.usage import Usage
from proxy.gateway.websocket import check_handshake
from proxy.injection import inject, needs_token


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The upstream's answer that the client will get, and how it came about."""

    response: UpstreamResponse
    replayed: bool = False
    rejected: bool = False


class Forwarding:
    """Forwards requests to one upstream."""

    def __init__(
        self,
        upstream: UpstreamConnections,
        token_endpoints: Iterable[str],
        clients: Clients,
        timeouts: ClientTimeouts,
        observe: Observer,
    ) -> None:
        self._upstream = upstream
        self._patience = timeouts.content.total_seconds()
        self._send_patience = timeouts.send.total_seconds()
        self._limits = Limits(upstream.settings.limits)
        self._clients = clients
        self._settings = upstream.settings
        self._source = upstream.source
        self._observe = observe
        self._usage = Usage()
        self._preparation = Preparation(upstream.settings, upstream.base_path, clients)
        self.close_endpoints(token_endpoints)

    def close_endpoints(self, token_endpoints: Iterable[str]) -> None:
        """Let no request through to `token_endpoints`, those of every upstream, from now on."""
        self._access = Access(self._settings, token_endpoints)

    async def unused(self) -> None:
        """Wait until no request is under way."""
        await self._usage.over()

    async def forward(
        self, request: web.BaseRequest, target: Target, request_id: str, caller: Caller
    ) -> web.StreamResponse:
        """Answer `request` with what the upstream says.

        Raises `SidekeyError` as long as the answer has not begun; afterwards an error can only cut
        the client's connection.
        """
        with self._usage.counted():
            return await self._forward(request, target, request_id, caller)

    async def _forward(
        self, request: web.BaseRequest, target: Target, request_id: str, caller: Caller
    ) -> web.StreamResponse:
        begun = time.monotonic()
        content = ClientContent(request, self._patience, self._limits.content)
        received = self._preparation.received(request, target, content)
        rules = self._settings.inject
        shown = self._clients.key_in_head(received, rules)
        if not (caller.known or shown or self._clients.key_may_follow(received, rules)):
            raise self._clients.refusal()
        check_path(target.path, self._settings.encoded_slashes)
        check_hops(request.headers, PROCESS)
        check_handshake(request)
        local = self._access.local_answer(request.method, received.full_path)
        if local is None:
            self._access.check(request.method, received.full_path)
        self._limits.check_length(request.content_length)
        if not (caller.known or shown):  # only now, since it may take a 100 Continue
            received = await self._clients.check_content(received, rules, content)
            shown = True
        if local is not None:
            return web.Response(
                status=local.status, body=content_of(local), content_type="application/json"
            )
        with self._limits.admitted():
            prepared = await self._preparation.prepare(received, content, replace=shown)
            exchanged = await self._exchange(prepared, content)
            fact = self._fact(request, exchanged, request_id)
            try:
                response = self._response(exchanged, fact.path.removesuffix(target.path), caller)
                return await self._answer(request, exchanged, response, fact, begun)
            finally:
                await exchanged.response.close()

    def _fact(
        self, request: web.BaseRequest, exchanged: Exchanged, request_id: str
    ) -> RequestForwarded:
        return RequestForwarded(
            request_id=request_id,
            upstream=self._upstream.name,
            method=request.method,
            path=request.raw_path.partition("?")[0],
            status=exchanged.response.status,
            seconds=0.0,
            replayed=exchanged.replayed,
            rejected=exchanged.rejected,
        )

    def _response(self, exchanged: Exchanged, prefix: str, caller: Caller) -> ForwardedResponse:
        """Return the answer for a client that writes `prefix` in place of the base URL."""
        response = ForwardedResponse.of(
            exchanged.response, self._settings, prefix, rejected=exchanged.rejected
        )
        if caller.origin is not None:
            let_read(response.headers, caller.origin)
        return response

    async def _answer(
        self,
        request: web.BaseRequest,
        exchanged: Exchanged,
        response: ForwardedResponse,
        fact: RequestForwarded,
        begun: float,
    ) -> web.StreamResponse:
        try:
            await pass_on(request, exchanged.response, response, self._send_patience)
            self._observe(replace(fact, seconds=time.monotonic() - begun))
        except (SidekeyError, ConnectionError) as error:
            if isinstance(error, SidekeyError) and not response.prepared:
                raise
            await exchanged.response.close()  # first: the cut cancels this task
            self._abort(request, fact, error)
        return response

    async def _exchange(self, prepared: Prepared, content: ClientContent) -> Exchanged:
        """Send with the current token; after one rejection renew it and send once more."""
        if not needs_token(prepared.request, prepared.rules):
            return Exchanged(await self._inject_and_send(prepared, None, content))
        token = await self._source.token()
        response = await self._inject_and_send(prepared, token, content)
        async with _closed_on_failure(response):
            if not await response.is_rejection(self._settings.reject_on):
                return Exchanged(response)
            fresh = await self._renewed(token, content)
            if fresh is None or not content.replayable:  # the first sending went on meanwhile
                return Exchanged(response, rejected=True)
        await response.close()
        response = await self._inject_and_send(prepared, fresh, content)
        async with _closed_on_failure(response):
            rejected = await response.is_rejection(self._settings.reject_on)
        return Exchanged(response, replayed=True, rejected=rejected)

    async def _renewed(self, rejected: Token, content: ClientContent) -> Token | None:
        """Return a token that is worth a second try, `None` if the first answer has to stand."""
        try:
            if not content.replayable:
                self._source.reject(rejected)  # the next request will renew it
                return None
            fresh = await self._source.token(rejected=rejected)
        except CredentialExhausted:
            return None
        return fresh if fresh.value != rejected.value else None

    async def _inject_and_send(
        self, prepared: Prepared, token: Token | None, content: ClientContent
    ) -> UpstreamResponse:
        value = token.value if token is not None else None
        return await self._upstream.send(inject(prepared.request, prepared.rules, value), content)

    def _abort(self, request: web.BaseRequest, fact: RequestForwarded, error: Exception) -> None:
        """Cut the connection: a proper end would turn half an answer into a whole one."""
        if request.transport is not None:
            reset_at_close(request, request.transport)
            request.transport.abort()
        why = error.detail if isinstance(error, SidekeyError) else "the client left"
        self._observe(RequestAborted(fact.request_id, fact.upstream, fact.method, fact.path, why))


@asynccontextmanager
async def _closed_on_failure(response: UpstreamResponse) -> AsyncIterator[None]:
    """Let go of an answer that nobody will get, also when the client leaves meanwhile."""
    try:
        yield
    except BaseException:
        await response.close()
        raise
