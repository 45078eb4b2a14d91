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
    """The client got the upstream's answer. `seconds` run from its first byte to our last."""

    request_id: str
    upstream: str
    method: str
    path: str
    status: int
    seconds: float
    replayed: bool
    rejected: bool


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


@dataclass(frozen=True, slots=True)
class RequestAborted(Event):
    """The answer had begun and could not be finished; the client's connection was cut."""

    request_id: str
    upstream: str
    method: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class TokenAcquired(Event):
    """A token endpoint handed out a token."""

    upstream: str
    expires_at: datetime | None
    generation: int


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


def nobody(event: Event) -> None:
    """Observe nothing."""
