"""What the fast lane asks about one upstream, and what it may know of what was forwarded there."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import HttpVersion11, web

from proxy.config.models import LocalAnswer, Upstream
from proxy.credentials.token import Token
from proxy.gateway.accepted import Accepted, AnswerHead, Dated, Latest, Plan, RequestHead
from proxy.gateway.answer import ForwardedResponse
from proxy.gateway.exchanged import Exchanged
from proxy.gateway.pool import UpstreamConnection
from proxy.gateway.server import connection_of
from proxy.gateway.target import Target
from proxy.gateway.trace_context import TRACE_FIELD
from proxy.gateway.upstream import UpstreamConnections
from proxy.injection import Cookie, Header

# Fields of a head: three say something about what follows, one differs with every request.
UNUSUAL = frozenset({"expect", TRACE_FIELD, "transfer-encoding", "upgrade"})


class Shortcut:
    """The way of plain requests to one upstream; `check` is what the ordinary lane checks, too.

    That returns what is answered without the upstream, and raises `ClientError` for a target that
    is refused.
    """

    def __init__(
        self,
        upstream: UpstreamConnections,
        accepted: Accepted,
        check: Callable[[str, Target], LocalAnswer | None],
    ) -> None:
        self._upstream = upstream
        self._settings = upstream.settings
        self._source = upstream.source
        self._accepted = accepted
        self._check = check
        self._is_plain = is_plain(upstream.settings)
        self._takes_token = any(rule.uses_token for rule in upstream.settings.inject)

    def sends(self, token: Token | None) -> bool:
        """Tell whether a token is the one to send now."""
        return not self._takes_token or token is self._source.at_hand()

    def head(self, method: str, target: Target, block: bytes) -> RequestHead | None:
        """Return the head to send for a client's block, if it is known and the token at hand.

        Raises `ClientError` for a target that is refused.
        """
        head = self._accepted.requests.get((self, method, block))
        if head is None or not self.sends(head.token):
            return None
        return head if self._check(method, target) is None else None

    def answer(self, plan: Plan, received: bytes) -> Latest | None:
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

    def learn(
        self,
        request: web.BaseRequest,
        exchanged: Exchanged,
        response: ForwardedResponse,
        prefix: str,
        epoch: int,
    ) -> None:
        """Let the fast lane know the heads of a plain exchange that was begun in `epoch`."""
        block = connection_of(request).block
        if not self._is_plain or epoch != self._accepted.epoch or exchanged.replayed:
            return
        if block is None or not is_plain_request(request):
            return
        sent = exchanged.response.sent
        if sent:
            rest = sent[sent.index(b"\r\n") :]
            head = RequestHead(exchanged.token, rest, request.content_length or 0)
            self._accepted.request(self, request.method, block, head)
        self._learn_answer(exchanged, response, prefix)

    def _learn_answer(self, exchanged: Exchanged, response: ForwardedResponse, prefix: str) -> None:
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
