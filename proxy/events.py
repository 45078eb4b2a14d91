"""Facts that happened, and who wants to know. Pure.

An event never holds content, a query string or a secret.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass
from datetime import datetime
from typing import Any, ClassVar


class Event:
    """Something that happened: a dataclass."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


@dataclass(frozen=True, slots=True)
class Listening(Event):
    """The proxy accepts connections; `addresses` are URLs or paths of sockets."""

    addresses: tuple[str, ...]
    upstreams: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfigReloaded(Event):
    """Another configuration is in use; the names are those of upstreams."""

    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfigRefused(Event):
    """A configuration cannot be used, and the one before it still is; `issues` are lines."""

    issues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The proxy has closed its listeners."""


@dataclass(frozen=True, slots=True)
class WorkerEnded(Event):
    """A worker has ended that nobody stopped, by an exit code or by minus a signal's number."""

    worker: int
    code: int


@dataclass(frozen=True, slots=True)
class ConnectionsExhausted(Event):
    """As many connections are open as `listen.max_connections` says; told at most each 10 s."""

    limit: int


@dataclass(slots=True)  # a frozen one takes 1.6 us more of the 40 of a request
class RequestForwarded(Event):
    """The client got the upstream's answer. `seconds` run from its first byte to our last.

    Of these, `token_seconds` were spent waiting for a token, and `upstream_seconds` until the
    upstream's answer began. `renewed` tells whether the request has waited for a new token,
    `trace` is the client's `traceparent` (W3C Trace Context).
    """

    request_id: str
    upstream: str
    method: str
    path: str
    status: int
    seconds: float
    token_seconds: float
    upstream_seconds: float
    renewed: bool
    replayed: bool
    rejected: bool
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class RequestAnswered(Event):
    """The client got a local answer: sidekey's own, given without the upstream and without a token.

    `rule` is where that answer stands in the configuration.
    """

    request_id: str
    upstream: str
    method: str
    path: str
    status: int
    rule: str
    seconds: float
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class RequestRefused(Event):
    """The client got a problem from sidekey itself; `upstream` is `None` before one is known."""

    request_id: str
    upstream: str | None
    method: str
    path: str
    status: int
    slug: str
    detail: str
    fix: str | None
    seconds: float
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class RequestAborted(Event):
    """The answer had begun and could not be finished; the client's connection was cut."""

    request_id: str
    upstream: str
    method: str
    path: str
    reason: str
    seconds: float
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class TokenAcquired(Event):
    """A token endpoint handed out a token, `seconds` after it was asked."""

    upstream: str
    expires_at: datetime | None
    generation: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SignInBegun(Event):
    """A browser began a sign-in to an upstream, in the running proxy."""

    upstream: str


@dataclass(frozen=True, slots=True)
class SignInEnded(Event):
    """A sign-in that a browser began has ended: without `detail`, as `user` and with a token."""

    upstream: str
    user: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class TokenLoaded(Event):
    """A token was found in the store."""

    upstream: str
    expires_at: datetime | None
    generation: int


@dataclass(frozen=True, slots=True)
class TokenRejected(Event):
    """The upstream said that the token is no longer good."""

    upstream: str


@dataclass(frozen=True, slots=True)
class TokenDropped(Event):
    """A stored token belonged to another configuration and was removed."""

    upstream: str


@dataclass(frozen=True, slots=True)
class TokenFailed(Event):
    """No token could be had; `retry_in` seconds pass before anybody tries again."""

    upstream: str
    slug: str
    detail: str
    fix: str | None
    retry_in: float


@dataclass(frozen=True, slots=True)
class TokenNotStored(Event):
    """A token lives in memory only, because the store failed; it is tried again."""

    upstream: str
    detail: str


@dataclass(frozen=True, slots=True)
class TokenStored(Event):
    """A token that could not be stored at first is stored now."""

    upstream: str


@dataclass(frozen=True, slots=True)
class TokenExpired(Event):
    """A token has expired before another one could be had."""

    upstream: str


@dataclass(frozen=True, slots=True)
class TokenForgotten(Event):
    """Somebody has removed the token from the store, such as `sidekey logout`."""

    upstream: str


@dataclass(frozen=True, slots=True)
class EntryPutAside(Event):
    """A damaged entry of the store was renamed to `path`; was the one before it `recovered`?"""

    upstream: str
    path: str
    recovered: bool


@dataclass(frozen=True, slots=True)
class ClockJumped(Event):
    """Somebody has set the clock, forward if `seconds` is positive."""

    seconds: float


Observer = Callable[[Event], None]


def both(first: Observer, second: Observer) -> Observer:
    """Return an observer that tells two others."""

    def observe(event: Event) -> None:
        first(event)
        second(event)

    return observe


def nobody(event: Event) -> None:
    """Observe nothing."""
