"""The straight line of one request, from the client's message to the client's answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import web

from proxy.config.models import ClientTimeouts, LocalAnswer
from proxy.credentials.token import Token
from proxy.errors import CredentialExhausted, SidekeyError
from proxy.events import Observer, RequestAborted, RequestForwarded
from proxy.gateway.accepted import Accepted
from proxy.gateway.access import Access
from proxy.gateway.answer import ForwardedResponse, pass_on
from proxy.gateway.clients import Clients
from proxy.gateway.content import ClientContent
from proxy.gateway.cross_origin import let_read
from proxy.gateway.exchanged import Exchanged, Times
from proxy.gateway.fast_lane import Begun
from proxy.gateway.fields import check_hops
from proxy.gateway.guard import Caller
from proxy.gateway.limits import Limits
from proxy.gateway.local_answer import LocalAnswers, LocalResponse
from proxy.gateway.preparation import PROCESS, Preparation, Prepared
from proxy.gateway.recorded import record_of
from proxy.gateway.recorder import Copy, Recorder
from proxy.gateway.reset import reset_at_close
from proxy.gateway.server import connection_of
from proxy.gateway.shortcut import Shortcut
from proxy.gateway.target import Target, check_path
from proxy.gateway.trace_context import trace_of
from proxy.gateway.upstream import UpstreamConnections, UpstreamResponse
from proxy.gateway.usage import Usage
from proxy.gateway.websocket import check_handshake
from proxy.injection import inject, needs_token


class Forwarding:
    """Forwards requests to one upstream."""

    def __init__(
        self,
        upstream: UpstreamConnections,
        token_endpoints: Iterable[str],
        clients: Clients,
        timeouts: ClientTimeouts,
        observe: Observer,
        accepted: Accepted,
        recorder: Recorder,
    ) -> None:
        self.name = upstream.name
        self.observe = observe
        self.usage = Usage()
        self._upstream = upstream
        self.patience = upstream.settings.timeouts.read.total_seconds()
        self._patience = timeouts.content.total_seconds()
        self._send_patience = timeouts.send.total_seconds()
        self._limits = Limits(upstream.settings.limits)
        self._clients = clients
        self._settings = upstream.settings
        self._source = upstream.source
        self._accepted = accepted
        self._recorder = recorder
        self._local = LocalAnswers(upstream.name, observe, recorder)
        self.shortcut = Shortcut(upstream, accepted, self._checked_target)
        self._preparation = Preparation(upstream.settings, upstream.base_path, clients)
        self.close_endpoints(token_endpoints)

    def close_endpoints(self, token_endpoints: Iterable[str]) -> None:
        """Let no request through to `token_endpoints`, those of every upstream, from now on."""
        self._access = Access(self._settings, token_endpoints)

    async def unused(self) -> None:
        """Wait until no request is under way."""
        await self.usage.over()

    async def forward(
        self, request: web.BaseRequest, target: Target, request_id: str, caller: Caller
    ) -> web.StreamResponse:
        """Answer `request` with what the upstream says.

        Raises `SidekeyError` as long as the answer has not begun; afterwards an error can only cut
        the client's connection.
        """
        with self.usage.counted():
            return await self._forward(request, target, request_id, caller)

    async def _forward(
        self, request: web.BaseRequest, target: Target, request_id: str, caller: Caller
    ) -> web.StreamResponse:
        began = time.monotonic()
        epoch = self._accepted.epoch
        copy = self._recorder.copy()
        content = ClientContent(request, self._patience, self._limits.content, copy)
        received = self._preparation.received(request, target, has_content=content.exists)
        rules = self._settings.inject
        shown = self._clients.key_in_head(received, rules)
        if not (caller.known or shown or self._clients.key_may_follow(received, rules)):
            raise self._clients.refusal()
        check_hops(request.headers, PROCESS)
        check_handshake(request)
        local = self._checked_target(request.method, target)
        self._limits.check_length(request.content_length)
        if not (caller.known or shown):  # only now, since it may take a 100 Continue
            received = await self._clients.check_content(received, rules, content)
            shown = True
        if local is not None:
            await content.fill_copy()  # nobody else reads it
            answer, rule = LocalResponse(local, caller.origin), self._access.place(local)
            return await self._local.give(request, answer, rule, request_id, began, copy)
        with self._limits.admitted():
            prepared = await self._preparation.prepare(received, content, replace=shown)
            begun = connection_of(request).go_on()
            times = Times()
            if begun is not None:
                began = begun.began
            exchanged = await self._exchange(prepared, content, begun, times)
            fact = self._fact(request, exchanged, request_id, times)
            try:
                prefix = fact.path.removesuffix(target.path)
                response = self._response(exchanged, prefix, caller)
                answered = await self._answer(request, exchanged, response, fact, began, copy)
                if caller.origin is None:
                    self.shortcut.learn(request, exchanged, response, prefix, epoch)
                return answered
            finally:
                await exchanged.response.close()

    def _checked_target(self, method: str, target: Target) -> LocalAnswer | None:
        """Check what is asked for; return what is answered without the upstream."""
        check_path(target.path, self._settings.encoded_slashes)
        path = self._upstream.base_path + target.path
        local = self._access.local_answer(method, path)
        if local is None:
            self._access.check(method, path)
        return local

    def _fact(
        self, request: web.BaseRequest, exchanged: Exchanged, request_id: str, times: Times
    ) -> RequestForwarded:
        return RequestForwarded(
            request_id=request_id,
            upstream=self._upstream.name,
            method=request.method,
            path=request.raw_path.partition("?")[0],
            status=exchanged.response.status,
            seconds=0.0,
            token_seconds=times.token,
            upstream_seconds=times.upstream,
            renewed=times.renewed,
            replayed=exchanged.replayed,
            rejected=exchanged.rejected,
            trace=trace_of(request.headers),
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
        began: float,
        content: Copy | None,
    ) -> web.StreamResponse:
        answered = self._recorder.copy()
        try:
            await pass_on(request, exchanged.response, response, self._send_patience, answered)
            kept = record_of(request, response.head, content, answered)
            self._recorder.keep(fact.request_id, kept)
            self.observe(replace(fact, seconds=time.monotonic() - began))
        except (SidekeyError, ConnectionError) as error:
            if isinstance(error, SidekeyError) and not response.prepared:
                raise
            await exchanged.response.close()  # first: the cut cancels this task
            kept = record_of(request, response.head, content, answered)
            self._recorder.keep(fact.request_id, kept)
            self._abort(request, replace(fact, seconds=time.monotonic() - began), error)
        return response

    async def _exchange(
        self, prepared: Prepared, content: ClientContent, begun: Begun | None, times: Times
    ) -> Exchanged:
        """Send with the current token; after one rejection renew it and send once more."""
        if not needs_token(prepared.request, prepared.rules):
            return Exchanged(await self._inject_and_send(prepared, None, content, times, begun))
        token = (begun.token if begun is not None else None) or await self._token(times)
        response = await self._inject_and_send(prepared, token, content, times, begun)
        async with _closed_on_failure(response):
            if not await response.is_rejection(self._settings.reject_on):
                return Exchanged(response, token)
            fresh = await self._renewed(token, content, times)
            if fresh is None or not content.replayable:  # the first sending went on meanwhile
                return Exchanged(response, token, rejected=True)
        await response.close()
        response = await self._inject_and_send(prepared, fresh, content, times)
        async with _closed_on_failure(response):
            rejected = await response.is_rejection(self._settings.reject_on)
        return Exchanged(response, fresh, replayed=True, rejected=rejected)

    async def _token(self, times: Times, rejected: Token | None = None) -> Token:
        """Return the token to send, and take down how long that took."""
        before, began = self._source.entry, time.monotonic()
        token = await self._source.token(rejected=rejected)
        if self._source.provider.kept and self._source.entry is not before:
            times.renewed = True
            times.token += time.monotonic() - began
        return token

    async def _renewed(self, rejected: Token, content: ClientContent, times: Times) -> Token | None:
        """Return a token that is worth a second try, `None` if the first answer has to stand."""
        try:
            if not content.replayable:
                self._source.reject(rejected)  # the next request will renew it
                return None
            fresh = await self._token(times, rejected)
        except CredentialExhausted:
            return None
        return fresh if fresh.value != rejected.value else None

    async def _inject_and_send(
        self,
        prepared: Prepared,
        token: Token | None,
        content: ClientContent,
        times: Times,
        begun: Begun | None = None,
    ) -> UpstreamResponse:
        value = token.value if token is not None else None
        injected = inject(prepared.request, prepared.rules, value)
        connection = None if begun is None else begun.connection
        began = time.monotonic() if begun is None else begun.began
        response = await self._upstream.send(injected, content, connection)
        times.upstream += time.monotonic() - began
        return response

    def _abort(self, request: web.BaseRequest, fact: RequestForwarded, error: Exception) -> None:
        """Cut the connection: a proper end would turn half an answer into a whole one."""
        if request.transport is not None:
            reset_at_close(request, request.transport)
            request.transport.abort()
        why = error.detail if isinstance(error, SidekeyError) else "the client left"
        event = RequestAborted(
            fact.request_id, fact.upstream, fact.method, fact.path, why, fact.seconds, fact.trace
        )
        self.observe(event)


@asynccontextmanager
async def _closed_on_failure(response: UpstreamResponse) -> AsyncIterator[None]:
    """Let go of an answer that nobody will get, also when the client leaves meanwhile."""
    try:
        yield
    except BaseException:
        await response.close()
        raise
