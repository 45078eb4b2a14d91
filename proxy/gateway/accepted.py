"""What the ordinary lane has accepted and written, byte for byte: all that the fast lane knows.

A head that comes again need not be looked at again: whatever the parser, the guard, the rules and
the injectors made of it, they would make of it now. So nothing here is a second opinion, and what
is not here takes the ordinary lane. Everything goes when the configuration changes; what holds a
token, or was searched for one, counts as long as that token is the one to send.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from proxy.credentials.token import Token

if TYPE_CHECKING:
    from proxy.gateway.forwarding import Forwarding

BLOCK_LIMIT = 8 * 1024  # bytes of a head that is kept
DATE = b"\r\nDate: "
DATE_LENGTH = 29  # bytes
_DATE = re.compile(rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT")
ENTRIES = 512  # of each kind; then all of that kind go

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Dated:
    """A head in two parts, with its date between them; all of it is in the first if it has none.

    A date is what makes heads differ that are the same otherwise, once a second.
    """

    before: bytes
    date: bytes
    after: bytes

    @classmethod
    def of(cls, head: bytes) -> Self:
        """Take a head apart; only a date that could be nothing else is one (RFC 9110 5.6.7)."""
        start = head.find(DATE) + len(DATE)
        end = start + DATE_LENGTH
        if start < len(DATE) or not _DATE.fullmatch(head, start, end):
            return cls(head, b"", b"")
        return cls(head[:start], head[start:end], head[end:])

    def dated(self, date: bytes) -> bytes:
        """Return the head with another date."""
        return self.before + date + self.after


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What followed the request line when the token was injected: fields, and the empty line."""

    token: Token | None
    block: bytes
    length: int  # bytes of content that follow


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a request that begins with a certain head.

    `path` is what the client wrote, `prefix` the part of it that stands for the base URL, `sent`
    what goes to the upstream before the content.
    """

    forwarding: Forwarding
    head: RequestHead
    method: str
    path: str
    prefix: str
    sent: bytes


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What the client got for an answer's head, and how many bytes of content follow it.

    Its date is that of the answer; none where that had none.
    """

    token: Token | None
    status: int
    head: Dated
    length: int


@dataclass(frozen=True, slots=True)
class Latest:
    """What the client got for a head, its date included: the next one is often the same."""

    prefix: str
    received: bytes
    known: AnswerHead
    written: bytes

    def is_for(self, prefix: str, received: bytes, token: Token | None) -> bool:
        """Tell whether it is what the client gets for a head."""
        return self.received == received and self.prefix == prefix and self.known.token is token


class Accepted:
    """`block` is what a client sends after its request line, up to the content.

    `hosts` holds by listener and block the host that the client named. `requests` holds the heads
    that went to the upstream by its shortcut, method and block; `answers` what became of the
    upstream's heads, by shortcut, the client's prefix, and the head around its date. `plans`
    holds by listener and head what followed from all that, and from the target; `latest` by
    shortcut the answer that came last. What was checked in another `epoch` is not to be noted any
    more.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.hosts: dict[tuple[object, bytes], str] = {}
        self.requests: dict[tuple[object, str, bytes], RequestHead] = {}
        self.answers: dict[tuple[object, str, bytes, bytes], AnswerHead] = {}
        self.plans: dict[tuple[object, bytes], Plan] = {}
        self.latest: dict[object, Latest] = {}

    def host(self, listener: object, block: bytes, host: str) -> None:
        """Note that the guard of a listener has let a block in."""
        _put(self.hosts, (listener, block), host, len(block))

    def request(self, shortcut: object, method: str, block: bytes, head: RequestHead) -> None:
        """Note what was sent to the upstream for a block."""
        _put(self.requests, (shortcut, method, block), head, len(block))

    def answer(self, shortcut: object, prefix: str, received: Dated, head: AnswerHead) -> None:
        """Note what the client got for the head that was received, if they have the same date."""
        if received.date == head.head.date:
            key = (shortcut, prefix, received.before, received.after)
            _put(self.answers, key, head, len(received.before) + len(received.after))

    def plan(self, listener: object, head: bytes, plan: Plan) -> None:
        """Note what to do with the same request."""
        _put(self.plans, (listener, head), plan, len(head))

    def forget(self) -> None:
        """Forget everything: another configuration may not accept it."""
        self.epoch += 1
        self.hosts.clear()
        self.requests.clear()
        self.answers.clear()
        self.plans.clear()
        self.latest.clear()


def _put(known: dict[Key, Value], key: Key, value: Value, size: int) -> None:
    if size > BLOCK_LIMIT:
        return
    if len(known) >= ENTRIES:
        known.clear()  # as when it began: whoever comes again is known again at once
    known[key] = value
