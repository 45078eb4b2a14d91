"""Counts what happens: an observer that costs a request as little as can be."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping

import msgspec

from proxy.events import (
    ClockJumped,
    ConfigRefused,
    ConfigReloaded,
    ConnectionsExhausted,
    Event,
    RequestAborted,
    RequestAnswered,
    RequestForwarded,
    RequestRefused,
    TokenAcquired,
    TokenDropped,
    TokenExpired,
    TokenFailed,
    TokenNotStored,
    TokenRejected,
    WorkerEnded,
)
from proxy.observe.counts import BOUNDS, Counts, Period, ProcessCounts, UpstreamCounts, merged
from proxy.observe.series import STEP, STEPS, Point, points
from proxy.observe.sharing import Sharing
from proxy.refusals import METHODS

SECTION = "counts"  # of what processes share
SWITCHED = 101  # the status of a websocket, whose duration is no latency
LATE = 2.0  # seconds after which what another process has counted is known here
TOKEN_COUNTS: dict[type[Event], str] = {
    TokenDropped: "tokens_dropped",
    TokenExpired: "tokens_expired",
    TokenNotStored: "tokens_not_stored",
    TokenRejected: "tokens_rejected",
}
PROCESS_COUNTS: dict[type[Event], str] = {
    ClockJumped: "clock_jumps",
    ConnectionsExhausted: "connections_exhausted",
    WorkerEnded: "workers_ended",
}


class Measures:
    """The counts of this process, and with `sharing` those of all that serve with it.

    `under_way` tells how many requests of each upstream wait for an answer.
    """

    def __init__(
        self, sharing: Sharing | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self.under_way: Callable[[], Mapping[str, int]] = dict
        self.own = Counts(ProcessCounts(started=now(), loaded=now()))
        self._sharing = sharing
        self._now = now
        self._period = Period(0)
        self._begins = self._ends = 0
        if sharing is not None:
            self._go_on(sharing)

    def _go_on(self, sharing: Sharing) -> None:
        """Take over the counts of the process whose place this one takes, and tell its own."""
        before = sharing.left(SECTION)
        if before is not None:
            self.own = _read(before)
        sharing.offer(SECTION, self._told)

    def _told(self) -> bytes:
        self.own.under_way = dict(self.under_way())
        return msgspec.msgpack.encode(self.own)

    def whole(self) -> Counts:
        """Return a copy of what is counted, by all processes as far as they have told."""
        if self._sharing is None:
            return _read(self._told())
        return merged(map(_read, self._sharing.all(SECTION)))

    def series(self) -> list[Point]:
        """Return the points of the last hour, oldest first."""
        return points(self.whole().periods.values(), self._now())

    def points_since(self, moment: float) -> list[Point]:
        """Return the points that may have changed since `moment`, in epoch seconds."""
        periods = self.whole().periods.values()
        changed = (period for period in periods if period.time + STEP > moment - LATE)
        return points(changed, self._now())

    def observe(self, event: Event) -> None:
        """Count an event."""
        if type(event) is RequestForwarded:
            self._count_forwarded(event)
        elif isinstance(event, RequestAnswered):
            self._count_answered(event)
        elif isinstance(event, RequestRefused):
            refused = self._upstream(event.upstream).refused
            refused[event.slug] = refused.get(event.slug, 0) + 1
            self._count_error()
        elif isinstance(event, RequestAborted):
            self._upstream(event.upstream).aborted += 1
            self._count_error()
        elif isinstance(event, TokenAcquired):
            self._upstream(event.upstream).acquisition.add(event.seconds)
            self._present_period().renewals += 1
        elif isinstance(event, TokenFailed):
            failures = self._upstream(event.upstream).token_failures
            failures[event.slug] = failures.get(event.slug, 0) + 1
            self._present_period().failures += 1
        elif isinstance(event, ConfigReloaded | ConfigRefused):
            self._count_reload(is_loaded=isinstance(event, ConfigReloaded))
        else:
            self._count_other(event)

    def _count_forwarded(self, event: RequestForwarded) -> None:
        """Count in less than 2 us: this runs for every request, whatever else does not."""
        upstream = self.own.upstreams.get(event.upstream) or self._upstream(event.upstream)
        try:
            upstream.requests[event.method][event.status] += 1
        except KeyError:
            _count_first(upstream.requests, event)
        now = self._now()
        period = self._period if self._begins <= now < self._ends else self._next_period(now)
        period.requests += 1
        if event.status >= 500:
            period.errors += 1
        if event.status == SWITCHED:
            return
        seconds, waited = event.seconds, event.upstream_seconds
        part = bisect_left(BOUNDS, seconds)
        period.counts[part] += 1
        durations = upstream.duration
        durations.counts[part] += 1
        durations.total += seconds
        durations = upstream.upstream_duration
        durations.counts[bisect_left(BOUNDS, waited)] += 1
        durations.total += waited
        if event.renewed:
            upstream.waiting.add(event.token_seconds)
        if event.replayed:
            upstream.replayed += 1
        if event.rejected:
            upstream.rejected += 1

    def _count_answered(self, event: RequestAnswered) -> None:
        """Leave the durations alone: these are no latency of the upstream's."""
        self._upstream(event.upstream).answered += 1
        period = self._present_period()
        period.requests += 1
        if event.status >= 500:
            period.errors += 1

    def _count_error(self) -> None:
        period = self._present_period()
        period.requests += 1
        period.errors += 1

    def _count_reload(self, *, is_loaded: bool) -> None:
        process = self.own.process
        process.loaded, process.is_loaded = self._now(), is_loaded
        if is_loaded:
            process.reloads += 1
        else:
            process.reloads_refused += 1

    def _count_other(self, event: Event) -> None:
        counts: UpstreamCounts | ProcessCounts = self.own.process
        name = PROCESS_COUNTS.get(type(event))
        if isinstance(event, TokenDropped | TokenExpired | TokenNotStored | TokenRejected):
            counts, name = self._upstream(event.upstream), TOKEN_COUNTS[type(event)]
        if name is not None:
            setattr(counts, name, getattr(counts, name) + 1)

    def _upstream(self, name: str | None) -> UpstreamCounts:
        return self.own.upstreams.setdefault(name or "", UpstreamCounts())

    def _present_period(self) -> Period:
        now = self._now()
        return self._period if self._begins <= now < self._ends else self._next_period(now)

    def _next_period(self, now: float) -> Period:
        """Return the period of `now`, and forget those that are not of the hour before it."""
        begin = int(now // STEP * STEP)
        periods = self.own.periods
        for old in [other for other in periods if not begin - STEP * STEPS < other <= begin]:
            del periods[old]
        self._period = periods.setdefault(begin, Period(begin))
        self._begins, self._ends = begin, begin + STEP
        return self._period


def _count_first(requests: dict[str, dict[int, int]], event: RequestForwarded) -> None:
    statuses = requests.setdefault(event.method if event.method in METHODS else "OTHER", {})
    statuses[event.status] = statuses.get(event.status, 0) + 1


def _read(document: bytes | msgspec.Raw) -> Counts:
    return msgspec.msgpack.decode(document, type=Counts)
