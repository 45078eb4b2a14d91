"""The fast lane: a plain request on a warm connection, without a task and without a Request.

It takes what the ordinary lane has accepted before, byte for byte (`accepted.py`): a known head,
with another target perhaps, while the token is at hand and a connection to the upstream is idle.
The target is checked as in the ordinary lane, by the same functions. Whatever is unusual goes to
the ordinary lane, at any moment before the answer is written: an unknown head, content that is yet
to come, a rejection, a slow or broken upstream. It goes on there where it is, with what has been
sent and received so far.

This module and `server.py` lean on inner parts of aiohttp's `RequestHandler`: `unsupported` tells
whether they are there, and `tests/gateway/test_fast_lane.py` fails when aiohttp changes.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from proxy.credentials.exchange import why_unreachable
from proxy.credentials.token import Token
from proxy.errors import SidekeyError
from proxy.events import RequestAborted, RequestForwarded
from proxy.gateway.accepted import Accepted, AnswerHead, Plan
from proxy.gateway.pool import UpstreamConnection
from proxy.gateway.recorder import Record, Recorder
from proxy.gateway.request_id import new_request_id
from proxy.gateway.route import is_own, route
from proxy.gateway.target import parse

if TYPE_CHECKING:
    from proxy.gateway.forwarding import Forwarding
    from proxy.gateway.gateway import Gateway
    from proxy.gateway.guard import Listener
    from proxy.gateway.server import ClientConnection

AIOHTTP = "3.14."  # whose inner parts are known
INNER_PARTS = (
    *("_close", "_current_request", "_force_close", "_messages", "_parser", "_request_count"),
    *("_upgraded", "data_received", "writing_paused"),
)
AT_ONCE = 64 * 1024  # bytes of content that are waited for, to be written with the head
PATIENCE = 0.25  # seconds after which an exchange goes on in the ordinary lane, with its deadlines
# Characters that every server reads alike (RFC 3986 2); all others are for the real parser.
_REQUEST_LINE = re.compile(
    rb"(DELETE|GET|PATCH|POST|PUT) (/(?:[\w\-.~!$&'()*+,;=:@%?][\w\-.~!$&'()*+,;=:@%/?]*)?)"
    rb" HTTP/1\.1"
)


def unsupported() -> str | None:
    """Return why there can be no fast lane with this aiohttp, `None` if there can."""
    if not aiohttp.__version__.startswith(AIOHTTP):
        return f"aiohttp {aiohttp.__version__} is not {AIOHTTP}x"
    missing = [name for name in INNER_PARTS if not hasattr(web.RequestHandler, name)]
    return f"aiohttp has no {', '.join(missing)}" if missing else None


@dataclass(frozen=True, slots=True)
class Begun:
    """An exchange that the fast lane has begun: where the answer comes, for which token, and when.

    Its forwarding is in use until it counts the exchange itself, or nobody goes on with it.
    """

    forwarding: Forwarding
    connection: UpstreamConnection
    token: Token | None
    began: float  # by the monotonic clock


class FastLane:
    """Takes requests that arrive at one listener."""

    def __init__(
        self, gateway: Gateway, listener: Listener, accepted: Accepted, recorder: Recorder
    ) -> None:
        self.recorder = recorder
        self._gateway = gateway
        self._listener = listener
        self._accepted = accepted
        self._under_way: set[FastExchange] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def take(self, client: ClientConnection, data: bytes) -> bool:
        """Begin an exchange if `data` is one whole request that is known; tell whether it is.

        Contents are recorded in the ordinary lane.
        """
        if self.recorder.records_content:
            return False
        end = data.find(b"\r\n\r\n") + 4
        plan = self._plan(data[:end])
        if plan is None or len(data) - end != plan.head.length:
            return False
        upstream = plan.forwarding.shortcut.idle_connection()
        if upstream is None:
            return False
        exchange = FastExchange(self, client, upstream, plan, data)
        client.begin_at_once(exchange)
        self._watch(exchange)
        exchange.begin(data[end:])
        return True

    def _plan(self, head: bytes) -> Plan | None:
        """Return what to do with a request, `None` for one that is not known, or not any more."""
        plan = self._accepted.plans.get((self._listener, head))
        if plan is None or not plan.forwarding.shortcut.sends(plan.head.token):
            try:
                plan = self._planned(head)
            except SidekeyError:
                return None  # the ordinary lane says so, in an answer
            if plan is not None:
                self._accepted.plan(self._listener, head, plan)
        return plan

    def _planned(self, head: bytes) -> Plan | None:
        """Raises `SidekeyError` for a request that is refused."""
        start_end = head.find(b"\r\n")
        block = head[start_end:]
        host = self._accepted.hosts.get((self._listener, block))
        line = _REQUEST_LINE.fullmatch(head, 0, start_end)
        if host is None or line is None:
            return None
        method, target = line[1].decode(), parse(line[2].decode())
        if is_own(target):
            return None
        name, rest = route(self._listener, host, target)
        forwarding = self._gateway.forwarding(name)
        known = None if forwarding is None else forwarding.shortcut.head(method, rest, block)
        if forwarding is None or known is None:
            return None
        prefix = target.path.removesuffix(rest.path)
        sent = forwarding.shortcut.start_line(method, rest) + known.block
        return Plan(forwarding, known, method, target.path, prefix, sent)

    def leave(self, exchange: FastExchange) -> None:
        """Forget an exchange that is over here."""
        self._under_way.discard(exchange)

    def _watch(self, exchange: FastExchange) -> None:
        self._under_way.add(exchange)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(PATIENCE, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = time.monotonic()
        for exchange in tuple(self._under_way):
            exchange.look(now)
        if self._under_way:
            self._sweeper = asyncio.get_running_loop().call_later(PATIENCE, self._sweep)


class FastExchange:
    """One request and its answer, from segment to segment.

    `has_begun` tells whether the client has a part of the answer: then there is no way back to the
    ordinary lane.
    """

    __slots__ = (
        *("_answered", "_client", "_data", "_forwarding", "_head", "_lane", "_left", "_plan"),
        *("_received", "_status", "_upstream", "began", "has_begun", "moved"),
    )

    def __init__(
        self,
        lane: FastLane,
        client: ClientConnection,
        upstream: UpstreamConnection,
        plan: Plan,
        data: bytes,
    ) -> None:
        self.began = self.moved = time.monotonic()
        self.has_begun = False
        self._lane = lane
        self._client = client
        self._upstream = upstream
        self._plan = plan
        self._forwarding = plan.forwarding
        self._data = data
        self._received = b""
        self._head = b""
        self._left = 0  # bytes of content that are yet to come

    def begin(self, content: bytes) -> None:
        """Send the request to the upstream."""
        self._forwarding.usage.begin()
        self._upstream.taker = self
        self._upstream.write(self._plan.sent + content)

    def received(self, data: bytes) -> None:
        """Answer with what came, if its head is known; wait for the rest of what is small."""
        if self.has_begun:
            self._pass_on(data)
            return
        if self._received:
            data = self._received + data
        end = data.find(b"\r\n\r\n") + 4
        found = self._forwarding.shortcut.answer(self._plan, data[:end])
        surplus = len(data) - end - (found.known.length if found is not None else 0)
        if found is None or surplus > 0:
            self.hand_over(data)
        elif surplus == 0 or found.known.length > AT_ONCE:
            self._answer(found.known, found.written, data[end:])
        else:
            self._received = data

    def _answer(self, known: AnswerHead, head: bytes, content: bytes) -> None:
        self.has_begun = True
        self._answered = time.monotonic()
        self._head = head
        self._status = known.status
        self._left = known.length
        self._pass_on(head + content, of_content=len(content))

    def _pass_on(self, data: bytes, of_content: int | None = None) -> None:
        """Write what came to the client; the upstream waits for a client that is slower."""
        self.moved = time.monotonic()
        self._left -= len(data) if of_content is None else of_content
        if self._left < 0:
            data = data[: self._left]
        self._client.write_at_once(data)
        if self._left <= 0:
            self._finish()
        elif self._client.writing_paused:
            self._upstream.pause()

    def _finish(self) -> None:
        self._end()
        if self._left < 0:
            self._upstream.cut()  # more came than was announced: nobody knows for whom
        else:
            self._forwarding.shortcut.give_back(self._upstream)
        self._forwarding.observe(
            RequestForwarded(
                request_id=self._recorded(),
                upstream=self._forwarding.name,
                method=self._plan.method,
                path=self._plan.path,
                status=self._status,
                seconds=time.monotonic() - self.began,
                token_seconds=0.0,
                upstream_seconds=self._answered - self.began,
                renewed=False,
                replayed=False,
                rejected=False,
            )
        )
        self._client.end_at_once()

    def go_on(self) -> None:
        """Read on: the client has made room."""
        self.moved = time.monotonic()
        self._upstream.go_on()

    def hand_over(self, data: bytes = b"") -> None:
        """Go on in the ordinary lane, which gets `data` and all that follows of the answer."""
        if self.has_begun:
            self._break(f"the upstream: {why_unreachable(aiohttp.ClientPayloadError())}")
            return
        self._leave()
        data = data or self._received
        self._forwarding.shortcut.expect(self._upstream, self._plan.method)
        if data:
            self._upstream.data_received(data)
        begun = Begun(self._forwarding, self._upstream, self._plan.head.token, self.began)
        self._client.take_over(self._data, begun)

    def look(self, now: float) -> None:
        """Hand over what takes long; break off what has stopped in the middle."""
        if not self.has_begun:
            if now - self.began > PATIENCE:
                self.hand_over()
        elif self._client.writing_paused:
            self.moved = now
        elif now - self.moved > self._forwarding.patience:
            self._break("the upstream did not answer in time")

    def client_left(self) -> None:
        """End the exchange: nobody wants the answer any more."""
        self._end()
        self._upstream.cut()
        self._abort("the client left, or the proxy stopped")

    def _break(self, why: str) -> None:
        """Cut the client off: a proper end would turn half an answer into a whole one."""
        self._end()
        self._upstream.cut()
        self._client.cut()
        self._abort(why)

    def _abort(self, why: str) -> None:
        self._forwarding.observe(
            RequestAborted(
                request_id=self._recorded(),
                upstream=self._forwarding.name,
                method=self._plan.method,
                path=self._plan.path,
                reason=why,
                seconds=time.monotonic() - self.began,
            )
        )

    def _recorded(self) -> str:
        """Keep what the exchange looked like; return the id of its request."""
        request_id, length = new_request_id(), self._plan.head.length
        request = self._data[:-length] if length else self._data
        record = Record(request, self._head, self._client.place, length > 0)
        self._lane.recorder.keep(request_id, record)
        return request_id

    def _end(self) -> None:
        self._leave()
        self._forwarding.usage.end()

    def _leave(self) -> None:
        self._upstream.taker = None
        self._lane.leave(self)
