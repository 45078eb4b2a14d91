"""The last hour in periods of ten seconds: how many requests, how many errors, how slow. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.observe.counts import BOUNDS, Period

STEP = 10  # seconds from one point to the next
STEPS = 360  # an hour


@dataclass(frozen=True, slots=True)
class Point:
    """What happened in ten seconds, beginning at `time` in epoch seconds.

    `requests` are all that ended, `errors` those of them that were refused, cut off, or answered
    with a status from 500. The percentiles are those of answered requests, in seconds.
    """

    time: int
    requests: int
    errors: int
    p50: float | None
    p95: float | None
    p99: float | None
    renewals: int
    failures: int


def points(periods: Iterable[Period], now: float) -> list[Point]:
    """Return the periods of the hour before `now`, oldest first, but for empty ones."""
    oldest = now - STEP * STEPS
    return [_point(period) for period in sorted(periods, key=_time) if period.time > oldest]


def _time(period: Period) -> int:
    return period.time


def _point(period: Period) -> Point:
    return Point(
        time=period.time,
        requests=period.requests,
        errors=period.errors,
        p50=percentile(period.counts, 0.5),
        p95=percentile(period.counts, 0.95),
        p99=percentile(period.counts, 0.99),
        renewals=period.renewals,
        failures=period.failures,
    )


def percentile(counts: list[int], share: float) -> float | None:
    """Return the duration that `share` of all stay below, as if each part were spread evenly.

    That is how Prometheus reads a histogram; what is beyond the last bound counts as that bound.
    """
    rank = share * sum(counts)
    if not rank:
        return None
    below = 0
    for index, count in enumerate(counts[:-1]):
        if below + count >= rank:
            begin = BOUNDS[index - 1] if index else 0.0
            return begin + (BOUNDS[index] - begin) * (rank - below) / count
        below += count
    return BOUNDS[-1]
