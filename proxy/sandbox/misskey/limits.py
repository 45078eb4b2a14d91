"""Rate limits: so many calls per hour, and a least interval between two calls."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass

from proxy.sandbox.misskey.errors import RATE_LIMIT_EXCEEDED, ApiError

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `per_hour` calls in an hour, at least `interval` seconds apart."""

    per_hour: int
    interval: float = 0.0


class RateLimiter:
    """Counts calls per endpoint and actor (a user id, or the address of an anonymous client)."""

    def __init__(self) -> None:
        self._calls: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)

    def spend(self, endpoint: str, actor: str, limit: Limit) -> None:
        """Count one call.

        Raises:
            ApiError: RATE_LIMIT_EXCEEDED, with the seconds until the next call is let through.
        """
        calls = self._calls[endpoint, actor]
        present = time.monotonic()
        while calls and calls[0] <= present - _HOUR:
            calls.popleft()
        if calls and present - calls[-1] < limit.interval:
            raise _exceeded(limit.interval - (present - calls[-1]), total=1)
        if len(calls) >= limit.per_hour:
            raise _exceeded(calls[0] + _HOUR - present, total=limit.per_hour)
        calls.append(present)


def _exceeded(wait: float, *, total: int) -> ApiError:
    reset = time.time() + wait
    info: dict[str, object] = {
        "remaining": 0,
        "reset": int(reset),
        "resetMs": int(reset * 1000),
        "total": total,
    }
    return ApiError(RATE_LIMIT_EXCEEDED, info=info, retry_after=math.ceil(wait))
