"""What is counted of the events, and the series that the dashboard draws."""

from __future__ import annotations

from dataclasses import replace

import pytest
from event_samples import ABORTED, ACQUIRED, ANSWERED, FAILED, FORWARDED, REFUSED

from proxy.events import (
    ClockJumped,
    ConfigRefused,
    ConfigReloaded,
    ConnectionsExhausted,
    Event,
    TokenDropped,
    TokenExpired,
    TokenNotStored,
    TokenRejected,
    WorkerEnded,
)
from proxy.observe.counts import BOUNDS, Histogram, UpstreamCounts
from proxy.observe.measures import Measures
from proxy.observe.series import STEP, percentile

START = 1_764_400_000.0  # a whole step


class Now:
    """The wall clock, which stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def measures(now: Now) -> Measures:
    return Measures(now=now)


def counted(measures: Measures, *events: Event) -> UpstreamCounts:
    """Let it observe, and return the counts of the upstream of the samples."""
    for event in events:
        measures.observe(event)
    return measures.whole().upstreams["r"]


def durations(histogram: Histogram) -> dict[float, int]:
    """How many durations fall into each part that has some, by its upper end."""
    ends = (*BOUNDS, float("inf"))
    return {end: count for end, count in zip(ends, histogram.counts, strict=True) if count}


def test_requests_are_counted_by_method_and_status(measures: Measures) -> None:
    post = replace(FORWARDED, method="POST", status=404)
    found = counted(measures, FORWARDED, FORWARDED, post)
    assert found.requests == {"GET": {200: 2}, "POST": {404: 1}}


def test_methods_that_nobody_knows_share_a_name(measures: Measures) -> None:
    """A client may invent as many as it likes."""
    events = [replace(FORWARDED, method=f"M{number}") for number in range(50)]
    assert counted(measures, *events).requests == {"OTHER": {200: 50}}


def test_local_answers_are_requests_and_no_latency(measures: Measures) -> None:
    found = counted(measures, FORWARDED, ANSWERED, replace(ANSWERED, status=503))
    assert (found.answered, found.requests) == (2, {"GET": {200: 1}})
    for histogram in (found.duration, found.upstream_duration, found.waiting):
        assert sum(histogram.counts) <= 1
    [point] = measures.series()
    assert (point.requests, point.errors) == (3, 1)


def test_durations_fall_into_the_part_that_holds_them(measures: Measures) -> None:
    edge = replace(FORWARDED, seconds=0.025, upstream_seconds=0.001)
    slow = replace(FORWARDED, seconds=90.0, upstream_seconds=89.0)
    found = counted(measures, FORWARDED, edge, slow)
    assert durations(found.duration) == {0.025: 2, float("inf"): 1}
    assert durations(found.upstream_duration) == {0.001: 1, 0.005: 1, float("inf"): 1}
    assert found.duration.total == pytest.approx(90.045)
    assert found.upstream_duration.total == pytest.approx(89.005)


def test_only_requests_that_waited_for_a_token_count_as_waiting(measures: Measures) -> None:
    waited = replace(FORWARDED, renewed=True, token_seconds=0.2)
    found = counted(measures, FORWARDED, waited)
    assert durations(found.waiting) == {0.25: 1}
    assert found.waiting.total == pytest.approx(0.2)


def test_a_websocket_is_counted_and_is_no_latency(measures: Measures) -> None:
    """One that lasted for a day would be what the percentiles tell of."""
    found = counted(measures, replace(FORWARDED, status=101, seconds=86_400.0))
    assert found.requests == {"GET": {101: 1}}
    assert durations(found.duration) == durations(found.upstream_duration) == {}
    [point] = measures.series()
    assert (point.requests, point.p99) == (1, None)


def test_replays_rejections_refusals_and_cuts_are_counted(measures: Measures) -> None:
    replayed = replace(FORWARDED, replayed=True)
    rejected = replace(replayed, rejected=True)
    found = counted(measures, replayed, rejected, REFUSED, ABORTED, ABORTED)
    assert (found.replayed, found.rejected, found.aborted) == (2, 1, 2)
    assert found.refused == {"login-required": 1}


def test_who_is_refused_before_an_upstream_is_known_is_counted_too(measures: Measures) -> None:
    measures.observe(replace(REFUSED, upstream=None, slug="host-refused"))
    assert measures.whole().upstreams[""].refused == {"host-refused": 1}


def test_the_life_of_tokens_is_counted(measures: Measures) -> None:
    found = counted(
        measures,
        *(ACQUIRED, ACQUIRED, FAILED, replace(FAILED, slug="token-endpoint-timeout"), FAILED),
        *(TokenRejected("r"), TokenExpired("r"), TokenDropped("r"), TokenNotStored("r", "full")),
    )
    assert durations(found.acquisition) == {0.5: 2}
    assert found.token_failures == {"grant-rejected": 2, "token-endpoint-timeout": 1}
    assert (found.tokens_rejected, found.tokens_expired) == (1, 1)
    assert (found.tokens_dropped, found.tokens_not_stored) == (1, 1)


def test_what_happens_to_the_proxy_is_counted(measures: Measures, now: Now) -> None:
    now.time += 60
    measures.observe(ConfigReloaded((), (), ()))
    now.time += 60
    for event in (
        ConfigRefused(("line",)),
        ClockJumped(90.0),
        ConnectionsExhausted(10),
        WorkerEnded(1, -9),
    ):
        measures.observe(event)
    process = measures.whole().process
    assert (process.reloads, process.reloads_refused) == (1, 1)
    assert (process.is_loaded, process.loaded) == (False, START + 120)
    assert process.started == START
    assert process.clock_jumps == process.connections_exhausted == process.workers_ended == 1


def test_a_configuration_that_is_mended_is_in_use_again(measures: Measures) -> None:
    measures.observe(ConfigRefused(("line",)))
    measures.observe(ConfigReloaded((), (), ()))
    assert measures.whole().process.is_loaded


def test_the_series_has_a_point_for_each_ten_seconds_with_something(
    measures: Measures, now: Now
) -> None:
    for event in (FORWARDED, replace(FORWARDED, status=500), REFUSED, ABORTED, ACQUIRED):
        measures.observe(event)
    now.time += 2.5 * STEP
    measures.observe(FORWARDED)
    measures.observe(FAILED)
    first, second = measures.series()
    assert (first.time, second.time) == (START, START + 2 * STEP)
    assert (first.requests, first.errors, first.renewals, first.failures) == (4, 3, 1, 0)
    assert (second.requests, second.errors, second.renewals, second.failures) == (1, 0, 0, 1)


def test_the_series_has_an_hour_and_no_more(measures: Measures, now: Now) -> None:
    for _ in range(500):
        measures.observe(FORWARDED)
        now.time += STEP
    times = [point.time for point in measures.series()]
    assert times[-1] == now.time - STEP
    assert times[-1] - times[0] < 3600
    assert len(measures.whole().periods) == 360


def test_after_an_hour_without_anything_the_series_is_empty(measures: Measures, now: Now) -> None:
    measures.observe(FORWARDED)
    now.time += 3600
    assert measures.series() == []


def test_a_clock_that_is_set_back_leaves_no_points_in_the_future(
    measures: Measures, now: Now
) -> None:
    measures.observe(FORWARDED)
    now.time -= 86_400
    measures.observe(FORWARDED)
    assert [point.time for point in measures.series()] == [START - 86_400]


def test_points_are_told_again_as_long_as_they_may_change(measures: Measures, now: Now) -> None:
    measures.observe(FORWARDED)
    now.time += STEP
    measures.observe(FORWARDED)
    assert [point.time for point in measures.points_since(START)] == [START, START + STEP]
    assert [point.time for point in measures.points_since(START + STEP + 5)] == [START + STEP]
    assert measures.points_since(START + 3 * STEP) == []


def test_percentiles_are_those_of_the_durations_as_far_as_the_parts_tell(
    measures: Measures,
) -> None:
    """A hundred durations from 1 ms to 100 ms, each once."""
    for number in range(1, 101):
        measures.observe(replace(FORWARDED, seconds=number / 1000))
    [point] = measures.series()
    assert (point.p50, point.p95, point.p99) == pytest.approx((0.050, 0.095, 0.099), abs=0.001)


PARTS = len(BOUNDS) + 1


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ({}, 0.5, None),
        ({0: 10}, 0.5, 0.0005),
        ({2: 4}, 1.0, 0.005),
        ({2: 1, 5: 1}, 0.5, 0.005),
        ({PARTS - 1: 3}, 0.5, BOUNDS[-1]),
    ],
)
def test_a_percentile_lies_within_its_part(
    counts: dict[int, int], share: float, expected: float | None
) -> None:
    found = percentile([counts.get(part, 0) for part in range(PARTS)], share)
    assert found == (None if expected is None else pytest.approx(expected))


def test_what_is_returned_does_not_change_any_more(measures: Measures) -> None:
    """It is written in a thread while requests go on."""
    measures.observe(FORWARDED)
    before = measures.whole()
    measures.observe(FORWARDED)
    assert before.upstreams["r"].requests == {"GET": {200: 1}}


def test_requests_under_way_are_those_of_the_moment(measures: Measures) -> None:
    under_way = {"r": 3}
    measures.under_way = lambda: under_way
    assert measures.whole().under_way == {"r": 3}
    under_way["r"] = 1
    assert measures.whole().under_way == {"r": 1}
