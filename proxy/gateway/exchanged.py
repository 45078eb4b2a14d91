"""What came of one request at its upstream, and how long that took."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.credentials.token import Token
from proxy.gateway.upstream import UpstreamResponse


@dataclass(slots=True)
class Times:
    """How long a request waited for its token and for the upstream, in seconds.

    `renewed` tells whether the token it has got is another one than before.
    """

    token: float = 0.0
    upstream: float = 0.0
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The upstream's answer that the client will get, and how it came about."""

    response: UpstreamResponse
    token: Token | None = None
    replayed: bool = False
    rejected: bool = False
