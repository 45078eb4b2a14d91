"""How much of one upstream may be used: rate, requests under way, size of content."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from proxy.config import models
from proxy.refusals import ContentTooLarge, RateLimited, TooManyRequests

ROUNDING = 1e-6  # seconds by which sums of intervals may be off


class Limits:
    """Counts the requests of one upstream; `now` is a monotonic clock, in seconds."""

    def __init__(self, settings: models.Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._concurrency = settings.concurrency
        self._rate = _RequestRate(settings, now) if settings.rate is not None else None
        self._under_way = 0
        self.content = settings.content

    def check_length(self, length: int | None) -> None:
        """Raise `ContentTooLarge` for what the client declares of its content."""
        if self.content is not None and length is not None and length > self.content:
            raise too_large(self.content)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request while the block runs, a websocket's as long as it is open.

        Raises `TooManyRequests` or `RateLimited`; what is refused uses up nothing.
        """
        if self._concurrency is not None and self._under_way >= self._concurrency:
            raise TooManyRequests(
                f"{self._concurrency} requests are under way, which is this upstream's limit",
                retry_after=1.0,
            )
        if self._rate is not None:
            self._rate.take()
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


class _RequestRate:
    """Lets `burst` requests through at once, then one each interval (a token bucket).

    Kept as the one moment at which the bucket will be full again, so nothing runs in between.
    """

    def __init__(self, settings: models.Limits, now: Callable[[], float]) -> None:
        rate = settings.rate or 1.0
        self._interval = 1 / rate
        self._ahead = ((settings.burst or max(1, int(rate))) - 1) * self._interval
        self._now = now
        self._full = now()

    def take(self) -> None:
        """Let one request through, or raise `RateLimited` with the seconds until the next."""
        now = self._now()
        wait = self._full - self._ahead - now
        if wait > ROUNDING:
            raise RateLimited("the rate of this upstream is used up", retry_after=wait)
        self._full = max(self._full, now) + self._interval


def too_large(limit: int) -> ContentTooLarge:
    """Return the error for content over `limits.content`."""
    return ContentTooLarge(
        f"content for this upstream may have {limit} bytes",
        fix="send less at once, or raise limits.content of upstreams.{upstream}",
    )
