"""The straight line of one request, from the client's message to the client's answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import HttpVersion11, web

from proxy.config.models import ClientTimeouts, LocalAnswer, Upstream
from proxy.credentials.token import Token
from proxy.errors import CredentialExhausted, SidekeyError
from proxy.events import Observer, RequestAborted, RequestForwarded
from proxy.gateway.accepted import Accepted, AnswerHead, Dated, Latest, Plan, RequestHead
from proxy.gateway.access import Access, content_of
from proxy.gateway.answer import ForwardedResponse, pass_on
from proxy.gateway.clients import Clients
from proxy.gateway.content import ClientContent
from proxy.gateway.cross_origin import let_read
from proxy.gateway.fast_lane import Begun
from proxy.gateway.fields import check_hops
from proxy.gateway.guard import Caller
from proxy.gateway.limits import Limits
from proxy.gateway.pool import UpstreamConnection
from proxy.gateway.preparation import PROCESS, Preparation, Prepared
from proxy.gateway.reset import reset_at_close
from proxy.gateway.server import connection_of
from proxy.gateway.target import Target, check_path
from proxy.gateway.upstream import UpstreamConnections, UpstreamResponse
from proxy.gateway.usage import Usage
from proxy.gateway.websocket import check_handshake
from proxy.injection import Cookie, Header, inject, needs_token

UNUSUAL = frozenset({"expect", "transfer-encoding", "upgrade"})  # fields of a head


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The upstream's answer that the client will get, and how it came about."""

    response: UpstreamResponse
    token: Token | None = None
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
        accepted: Accepted,
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
        self._is_plain = is_plain(upstream.settings)
        self._takes_token = any(rule.uses_token for rule in upstream.settings.inject)
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
        content = ClientContent(request, self._patience, self._limits.content)
        received = self._preparation.received(request, target, content)
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
            return web.Response(
                status=local.status, body=content_of(local), content_type="application/json"
            )
        with self._limits.admitted():
            prepared = await self._preparation.prepare(received, content, replace=shown)
            begun = connection_of(request).go_on()
            exchanged = await self._exchange(prepared, content, begun)
            fact = self._fact(request, exchanged, request_id)
            try:
                prefix = fact.path.removesuffix(target.path)
                response = self._response(exchanged, prefix, caller)
                answered = await self._answer(request, exchanged, response, fact, began)
                if self._is_plain and caller.origin is None and epoch == self._accepted.epoch:
                    self._accept(request, exchanged, response, prefix)
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
        began: float,
    ) -> web.StreamResponse:
        try:
            await pass_on(request, exchanged.response, response, self._send_patience)
            self.observe(replace(fact, seconds=time.monotonic() - began))
        except (SidekeyError, ConnectionError) as error:
            if isinstance(error, SidekeyError) and not response.prepared:
                raise
            await exchanged.response.close()  # first: the cut cancels this task
            self._abort(request, fact, error)
        return response

    async def _exchange(
        self, prepared: Prepared, content: ClientContent, begun: Begun | None
    ) -> Exchanged:
        """Send with the current token; after one rejection renew it and send once more."""
        if not needs_token(prepared.request, prepared.rules):
            return Exchanged(await self._inject_and_send(prepared, None, content, begun))
        token = (begun.token if begun is not None else None) or await self._source.token()
        response = await self._inject_and_send(prepared, token, content, begun)
        async with _closed_on_failure(response):
            if not await response.is_rejection(self._settings.reject_on):
                return Exchanged(response, token)
            fresh = await self._renewed(token, content)
            if fresh is None or not content.replayable:  # the first sending went on meanwhile
                return Exchanged(response, token, rejected=True)
        await response.close()
        response = await self._inject_and_send(prepared, fresh, content)
        async with _closed_on_failure(response):
            rejected = await response.is_rejection(self._settings.reject_on)
        return Exchanged(response, fresh, replayed=True, rejected=rejected)

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
        self,
        prepared: Prepared,
        token: Token | None,
        content: ClientContent,
        begun: Begun | None = None,
    ) -> UpstreamResponse:
        value = token.value if token is not None else None
        injected = inject(prepared.request, prepared.rules, value)
        connection = None if begun is None else begun.connection
        return await self._upstream.send(injected, content, connection)

    def _abort(self, request: web.BaseRequest, fact: RequestForwarded, error: Exception) -> None:
        """Cut the connection: a proper end would turn half an answer into a whole one."""
        if request.transport is not None:
            reset_at_close(request, request.transport)
            request.transport.abort()
        why = error.detail if isinstance(error, SidekeyError) else "the client left"
        self.observe(RequestAborted(fact.request_id, fact.upstream, fact.method, fact.path, why))

    # What the fast lane asks for, and what it may know of a request that was forwarded here.

    def sends(self, token: Token | None) -> bool:
        """Tell whether a token is the one to send now."""
        return not self._takes_token or token is self._source.at_hand()

    def known_head(self, method: str, target: Target, block: bytes) -> RequestHead | None:
        """Return the head to send for a client's block, if it is known and the token at hand.

        Raises `ClientError` for a target that is refused.
        """
        head = self._accepted.requests.get((self, method, block))
        if head is None or not self.sends(head.token):
            return None
        return head if self._checked_target(method, target) is None else None

    def known_answer(self, plan: Plan, received: bytes) -> Latest | None:
        """Return what the client gets for the head of an answer, if it is known."""
        token = plan.head.token
        latest = self._accepted.latest.get(self)
        if latest is not None and latest.is_for(plan.prefix, received, token):
            return latest
        head = Dated.of(received)
        known = self._accepted.answers.get((self, plan.prefix, head.before, head.after))
        if known is None or known.token is not token:
            return None
        latest = Latest(plan.prefix, received, known, known.head.dated(head.date))
        self._accepted.latest[self] = latest
        return latest

    def start_line(self, method: str, target: Target) -> bytes:
        """Return the first line of a request, as it goes to the upstream."""
        return self._upstream.start_line(
            method, self._upstream.base_path + target.path, target.query
        )

    def idle_connection(self) -> UpstreamConnection | None:
        """Return a connection to the upstream that is ready, if there is one."""
        return self._upstream.pool.idle()

    def give_back(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose exchange is over."""
        self._upstream.pool.keep(connection)

    def expect(self, connection: UpstreamConnection, method: str) -> None:
        """Let aiohttp read the answer that comes on a connection."""
        self._upstream.expect(connection, method)

    def _accept(
        self,
        request: web.BaseRequest,
        exchanged: Exchanged,
        response: ForwardedResponse,
        prefix: str,
    ) -> None:
        """Let the fast lane know the heads of a plain exchange."""
        block = connection_of(request).block
        if block is None or not is_plain_request(request) or exchanged.replayed:
            return
        sent = exchanged.response.sent
        if sent:
            rest = sent[sent.index(b"\r\n") :]
            head = RequestHead(exchanged.token, rest, request.content_length or 0)
            self._accepted.request(self, request.method, block, head)
        received = exchanged.response.plain_head()
        statuses = {rule.status for rule in self._settings.reject_on}
        goes_on = "Connection" not in response.headers  # it says so if this is the last one
        if received is not None and goes_on and exchanged.response.status not in statuses:
            length = int(exchanged.response.headers["Content-Length"])
            status = exchanged.response.status
            answer = AnswerHead(exchanged.token, status, Dated.of(response.head), length)
            self._accepted.answer(self, prefix, Dated.of(received), answer)


def is_plain(settings: Upstream) -> bool:
    """Tell whether what is sent for a head depends on nothing else: not the path, not the content.

    Only requests that need not be counted or searched are.
    """
    limits = settings.limits
    return (
        all(isinstance(rule, Header | Cookie) and not rule.paths for rule in settings.inject)
        and settings.client_credential == "replace"
        and settings.redact != "content"
        and limits.rate is None
        and limits.concurrency is None
    )


def is_plain_request(request: web.BaseRequest) -> bool:
    """Tell whether the head says nothing about the connection that would change what follows."""
    return (
        request.version == HttpVersion11
        and request.keep_alive
        and UNUSUAL.isdisjoint(map(str.lower, request.headers))
    )


@asynccontextmanager
async def _closed_on_failure(response: UpstreamResponse) -> AsyncIterator[None]:
    """Let go of an answer that nobody will get, also when the client leaves meanwhile."""
    try:
        yield
    except BaseException:
        await response.close()
        raise
