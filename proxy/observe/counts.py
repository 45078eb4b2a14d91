"""What is counted of a running proxy: a document that processes exchange, and add up. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct, field

Key = TypeVar("Key", bound=Hashable)
# Upper ends of the parts of a histogram, in seconds: an API next door, and one that works for long.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def no_counts() -> list[int]:
    """Return a zero for each part of a histogram; the last one has no end."""
    return [0] * (len(BOUNDS) + 1)


class Histogram(Struct):
    """How many durations fall into each part, and their sum in seconds."""

    counts: list[int] = field(default_factory=no_counts)
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def merge(self, other: Histogram) -> None:
        """Add what another one has counted."""
        self.counts = _sums(self.counts, other.counts)
        self.total += other.total

    def since(self, before: Histogram) -> Histogram:
        """Return what has been counted since the histogram was as it was `before`."""
        counts = [now - then for now, then in zip(self.counts, before.counts, strict=True)]
        return Histogram(counts, self.total - before.total)


class UpstreamCounts(Struct):
    """What happened to one upstream.

    `requests` got the upstream's answer, by method and status; `answered` got a local answer;
    `refused` got a problem of ours, by its slug; `rejected` got an answer that rejects the
    credential. Of `requests`, `duration` is that of the whole, `waiting` that of their waits for a
    new token, `upstream_duration` passes until the upstream's answer begins; none of them has
    websockets, which may last for days.
    """

    requests: dict[str, dict[int, int]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    answered: int = 0
    aborted: int = 0
    replayed: int = 0
    rejected: int = 0
    duration: Histogram = field(default_factory=Histogram)
    waiting: Histogram = field(default_factory=Histogram)
    upstream_duration: Histogram = field(default_factory=Histogram)
    acquisition: Histogram = field(default_factory=Histogram)
    token_failures: dict[str, int] = field(default_factory=dict)
    tokens_rejected: int = 0
    tokens_expired: int = 0
    tokens_dropped: int = 0
    tokens_not_stored: int = 0

    def merge(self, other: UpstreamCounts) -> None:
        """Add what another process has counted."""
        for method, statuses in other.requests.items():
            _add(self.requests.setdefault(method, {}), statuses)
        _add(self.refused, other.refused)
        _add(self.token_failures, other.token_failures)
        for name in ("duration", "waiting", "upstream_duration", "acquisition"):
            getattr(self, name).merge(getattr(other, name))
        for name in _PLAIN:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_PLAIN = (
    *("answered", "aborted", "replayed", "rejected"),
    *("tokens_rejected", "tokens_expired", "tokens_dropped", "tokens_not_stored"),
)


class ProcessCounts(Struct):
    """What happened to the proxy itself; times are epoch seconds.

    Every worker loads the configuration and sees the clock jump: the most that one has seen counts.
    """

    started: float
    loaded: float = 0.0  # when a configuration was last loaded, or refused
    is_loaded: bool = True  # whether that one is in use
    reloads: int = 0
    reloads_refused: int = 0
    clock_jumps: int = 0
    connections_exhausted: int = 0
    workers_ended: int = 0

    def merge(self, other: ProcessCounts) -> None:
        """Add what another process has counted."""
        self.started = min(self.started, other.started)
        if other.loaded > self.loaded:
            self.loaded, self.is_loaded = other.loaded, other.is_loaded
        for name in ("reloads", "reloads_refused", "clock_jumps"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.connections_exhausted += other.connections_exhausted
        self.workers_ended += other.workers_ended


class Period(Struct):
    """A few seconds of the time series; `counts` is a histogram of forwarded requests."""

    time: int  # epoch seconds at which it begins
    requests: int = 0
    errors: int = 0
    counts: list[int] = field(default_factory=no_counts)
    renewals: int = 0
    failures: int = 0

    def merge(self, other: Period) -> None:
        """Add what another process has counted."""
        self.counts = _sums(self.counts, other.counts)
        for name in ("requests", "errors", "renewals", "failures"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Counts(Struct):
    """All of it; `under_way` has the requests of each upstream that wait for an answer now."""

    process: ProcessCounts
    upstreams: dict[str, UpstreamCounts] = field(default_factory=dict)
    periods: dict[int, Period] = field(default_factory=dict)
    under_way: dict[str, int] = field(default_factory=dict)

    def merge(self, other: Counts) -> None:
        """Add what another process has counted."""
        self.process.merge(other.process)
        for name, upstream in other.upstreams.items():
            self.upstreams.setdefault(name, UpstreamCounts()).merge(upstream)
        for time, period in other.periods.items():
            self.periods.setdefault(time, Period(time)).merge(period)
        _add(self.under_way, other.under_way)


def merged(parts: Iterable[Counts]) -> Counts:
    """Return the sum of at least one part, which it changes."""
    whole, *others = parts
    for part in others:
        whole.merge(part)
    return whole


def _sums(one: list[int], other: list[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _add(counts: dict[Key, int], others: Mapping[Key, int]) -> None:
    for key, count in others.items():
        counts[key] = counts.get(key, 0) + count
