"""What the counts and the states are called where others collect them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from proxy import __version__
from proxy.errors import (
    GrantRejected,
    LoginRequired,
    StoreError,
    TokenEndpointTimeout,
    TokenEndpointUnreachable,
)
from proxy.observe.counts import Counts, Histogram, ProcessCounts, UpstreamCounts
from proxy.observe.status import State, Status

Kind = Literal["counter", "gauge", "histogram"]
Sample = tuple[tuple[str, ...], float | Histogram]
# A counter that begins at 1 has not increased for Prometheus: alerts would miss the first failures.
NO_FAILURES = {
    error.slug: 0
    for error in (
        GrantRejected,
        LoginRequired,
        StoreError,
        TokenEndpointTimeout,
        TokenEndpointUnreachable,
    )
}
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of figure, with a sample for each combination of labels.

    The name has neither prefix nor unit nor `_total`: each way of collecting writes its own.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    samples: Sequence[Sample]
    unit: Literal["", "seconds"] = ""


def families(counts: Counts, statuses: Sequence[Status]) -> list[Family]:
    """Return every figure; upstreams that `statuses` name begin with zeros."""
    named = {status.upstream: UpstreamCounts() for status in statuses}
    upstreams = named | {name: one for name, one in counts.upstreams.items() if name}
    return [
        *_of_requests(counts, upstreams),
        *_of_tokens(upstreams),
        *_of_states(statuses),
        *_of_process(counts.process),
    ]


def _of_requests(counts: Counts, upstreams: Mapping[str, UpstreamCounts]) -> Iterator[Family]:
    yield Family(
        "requests",
        "counter",
        "Requests whose client got the upstream's answer, by method and status of that answer.",
        ("upstream", "method", "status"),
        [
            ((name, method, str(status)), count)
            for name, one in upstreams.items()
            for method, by_status in one.requests.items()
            for status, count in by_status.items()
        ],
    )
    yield _durations(
        "request_duration",
        "Time from a request's first byte to the last one of its answer, without websockets.",
        {name: one.duration for name, one in upstreams.items()},
    )
    yield _durations(
        "upstream_duration",
        "Time that requests waited until the upstream's answer began, without websockets.",
        {name: one.upstream_duration for name, one in upstreams.items()},
    )
    yield _durations(
        "token_wait",
        "Time that answered requests waited for a new token, of those that had to wait.",
        {name: one.waiting for name, one in upstreams.items()},
    )
    yield Family(
        "requests_in_flight",
        "gauge",
        "Requests that are under way now.",
        ("upstream",),
        [((name,), counts.under_way.get(name, 0)) for name in upstreams],
    )
    yield _count(
        "requests_answered_locally",
        "Requests that sidekey answered itself, by local_answers of the configuration.",
        {name: one.answered for name, one in upstreams.items()},
    )
    yield Family(
        "requests_refused",
        "counter",
        "Requests that got a problem from sidekey itself, by its slug; without an upstream's name"
        " where none is known yet.",
        ("upstream", "problem"),
        _by_problem(counts.upstreams, lambda one: one.refused),
    )
    yield _count(
        "requests_aborted",
        "Requests whose answer had begun and was cut off, or whose client left.",
        {name: one.aborted for name, one in upstreams.items()},
    )
    yield _count(
        "requests_replayed",
        "Requests that were sent once more with another token, since the first one was rejected.",
        {name: one.replayed for name, one in upstreams.items()},
    )
    yield _count(
        "requests_rejected",
        "Requests whose client got an answer of the upstream that rejects the credential.",
        {name: one.rejected for name, one in upstreams.items()},
    )


def _of_tokens(upstreams: Mapping[str, UpstreamCounts]) -> Iterator[Family]:
    yield _count(
        "tokens_acquired",
        "Tokens that a token endpoint has handed out, the first ones and renewed ones.",
        {name: sum(one.acquisition.counts) for name, one in upstreams.items()},
    )
    yield _durations(
        "token_acquisition",
        "Time that it took to get a token from its token endpoint.",
        {name: one.acquisition for name, one in upstreams.items()},
    )
    yield Family(
        "token_failures",
        "counter",
        "Attempts to get a token that failed, by the slug of the problem.",
        ("upstream", "problem"),
        _by_problem(upstreams, lambda one: NO_FAILURES | one.token_failures),
    )
    yield _count(
        "credential_rejections",
        "Tokens of which the upstream said that they are no longer good.",
        {name: one.tokens_rejected for name, one in upstreams.items()},
    )
    yield _count(
        "tokens_expired",
        "Tokens that expired before another one could be had.",
        {name: one.tokens_expired for name, one in upstreams.items()},
    )
    yield _count(
        "tokens_dropped",
        "Stored tokens that were removed because they belong to another configuration.",
        {name: one.tokens_dropped for name, one in upstreams.items()},
    )
    yield _count(
        "tokens_not_stored",
        "Tokens that live in memory only because the store failed.",
        {name: one.tokens_not_stored for name, one in upstreams.items()},
    )


def _of_states(statuses: Sequence[Status]) -> Iterator[Family]:
    yield Family(
        "token_state",
        "gauge",
        "The state of each upstream's token: 1 for the one it is in, 0 for all others.",
        ("upstream", "state"),
        [
            ((status.upstream, state), float(status.state == state))
            for status in statuses
            for state in STATES
        ],
    )
    yield _moment(
        "token_expiry_timestamp",
        "When the token at hand expires, in seconds since 1970.",
        {status.upstream: status.expires_at for status in statuses},
    )
    yield _moment(
        "token_next_renewal_timestamp",
        "When the token at hand will be renewed if it is in use, in seconds since 1970.",
        {status.upstream: status.next_renewal for status in statuses},
    )
    yield _known(
        "token_generation",
        "How often the stored token has changed since there was none.",
        {status.upstream: status.generation for status in statuses},
    )
    yield _known(
        "token_attempts_left",
        "How often the token endpoint may refuse the credential before sidekey pauses.",
        {status.upstream: status.attempts_left for status in statuses},
    )


def _of_process(counts: ProcessCounts) -> Iterator[Family]:
    yield Family(
        "config_reloads",
        "counter",
        "Configurations that were loaded while the proxy ran, by what became of them.",
        ("result",),
        [(("loaded",), counts.reloads), (("refused",), counts.reloads_refused)],
    )
    yield _one(
        "config_last_reload_successful",
        "Whether the configuration that was loaded last is in use.",
        float(counts.is_loaded),
    )
    yield _one(
        "config_last_reload_timestamp",
        "When a configuration was loaded last, or refused, in seconds since 1970.",
        counts.loaded,
        unit="seconds",
    )
    yield _one(
        "connections_exhausted",
        "How often listen.max_connections were open, told at most each 10 seconds.",
        counts.connections_exhausted,
        kind="counter",
    )
    yield _one(
        "workers_ended",
        "Workers that ended though nobody stopped them.",
        counts.workers_ended,
        kind="counter",
    )
    yield _one(
        "clock_jumps", "How often somebody has set the clock.", counts.clock_jumps, kind="counter"
    )
    yield _one(
        "start_time",
        "When the proxy started, in seconds since 1970.",
        counts.started,
        unit="seconds",
    )
    yield Family(
        "build_info",
        "gauge",
        "The version of sidekey; the value is always 1.",
        ("version",),
        [((__version__,), 1.0)],
    )


def _durations(name: str, help_: str, by_upstream: Mapping[str, Histogram]) -> Family:
    samples: list[Sample] = [((upstream,), one) for upstream, one in by_upstream.items()]
    return Family(name, "histogram", help_, ("upstream",), samples, unit="seconds")


def _count(name: str, help_: str, by_upstream: Mapping[str, int]) -> Family:
    samples: list[Sample] = [((upstream,), count) for upstream, count in by_upstream.items()]
    return Family(name, "counter", help_, ("upstream",), samples)


def _known(name: str, help_: str, by_upstream: Mapping[str, int | None]) -> Family:
    return Family(
        name,
        "gauge",
        help_,
        ("upstream",),
        [((upstream,), value) for upstream, value in by_upstream.items() if value is not None],
    )


def _moment(name: str, help_: str, by_upstream: Mapping[str, datetime | None]) -> Family:
    return Family(
        name,
        "gauge",
        help_,
        ("upstream",),
        [
            ((upstream,), moment.timestamp())
            for upstream, moment in by_upstream.items()
            if moment is not None
        ],
        unit="seconds",
    )


def _one(
    name: str,
    help_: str,
    value: float,
    *,
    kind: Kind = "gauge",
    unit: Literal["", "seconds"] = "",
) -> Family:
    return Family(name, kind, help_, (), [((), value)], unit=unit)


def _by_problem(
    upstreams: Mapping[str, UpstreamCounts], counted: Callable[[UpstreamCounts], Mapping[str, int]]
) -> list[Sample]:
    return [
        ((name, slug), count)
        for name, one in upstreams.items()
        for slug, count in counted(one).items()
    ]
