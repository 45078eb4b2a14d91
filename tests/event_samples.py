"""Events as they are told, for tests that change what matters to them."""

from __future__ import annotations

from datetime import UTC, datetime

from proxy.events import (
    RequestAborted,
    RequestAnswered,
    RequestForwarded,
    RequestRefused,
    TokenAcquired,
    TokenFailed,
)

FORWARDED = RequestForwarded(
    request_id="0b5c3c6a5e0f4a7d",
    upstream="r",
    method="GET",
    path="/r/a",
    status=200,
    seconds=0.02,
    token_seconds=0.0,
    upstream_seconds=0.004,
    renewed=False,
    replayed=False,
    rejected=False,
)
ANSWERED = RequestAnswered(
    "3", "r", "POST", "/r/login", 200, "upstreams.r.local_answers[0]", 0.0002
)
REFUSED = RequestRefused("1", "r", "GET", "/r/a", 503, "login-required", "nobody", None, 0.001)
ABORTED = RequestAborted("2", "r", "GET", "/r/a", "the client left", 0.5)
FAILED = TokenFailed("r", "grant-rejected", "no", None, 60.0)
ACQUIRED = TokenAcquired("r", datetime(2026, 1, 1, tzinfo=UTC), 1, 0.3)
