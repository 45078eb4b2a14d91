"""The counts as OpenTelemetry exports them: read when they are wanted, called as for Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Meter, Observation
from opentelemetry.sdk.metrics import Histogram as Instrument
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
)

from proxy.observe import counts
from proxy.observe.families import Family, families
from proxy.observe.measures import Measures
from proxy.observe.status import Status

PREFIX = "sidekey."
UNITS = {"seconds": "s", "": ""}
FRESH = 1.0  # seconds for which one look at the counts serves: each instrument asks
PATIENCE = 5.0  # seconds until the loop has to answer


class Instruments:
    """Counters and gauges that show what `measures` have counted, and the states of the tokens."""

    def __init__(self, meter: Meter, measures: Measures) -> None:
        self.statuses: Callable[[], Awaitable[Sequence[Status]]] | None = None
        self._measures = measures
        self._loop = asyncio.get_running_loop()
        self._seen: dict[str, Family] = {}
        self._seen_at = -FRESH
        for family in families(counts.Counts(counts.ProcessCounts(0.0)), []):
            if family.kind != "histogram":
                self._create(meter, family)

    def _create(self, meter: Meter, family: Family) -> None:
        create = (
            meter.create_observable_counter
            if family.kind == "counter"
            else meter.create_observable_gauge
        )
        create(
            PREFIX + family.name,
            callbacks=[lambda _options: self._observations(family.name)],
            unit=UNITS[family.unit],
            description=family.help,
        )

    def histograms(self) -> list[Family]:
        """Return what no instrument of the SDK can show."""
        return [family for family in self._look().values() if family.kind == "histogram"]

    def _observations(self, name: str) -> Iterable[Observation]:
        family = self._look()[name]
        for labels, value in family.samples:
            assert isinstance(value, int | float)  # no histogram
            yield Observation(value, dict(zip(family.labels, labels, strict=True)))

    def _look(self) -> dict[str, Family]:
        """Return the families as they are about now; this runs in the SDK's thread."""
        if time.monotonic() - self._seen_at > FRESH:
            looking = asyncio.run_coroutine_threadsafe(self._families(), self._loop)
            self._seen = {family.name: family for family in looking.result(PATIENCE)}
            self._seen_at = time.monotonic()
        return self._seen

    async def _families(self) -> list[Family]:
        statuses = await self.statuses() if self.statuses is not None else []
        return families(self._measures.whole(), statuses)


class Exporter(OTLPMetricExporter):
    """Adds histograms, which have been counted already, to what the SDK exports.

    Its own kind of histogram would count every duration once more, in 11 us for each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.histograms: Callable[[], Sequence[Family]] = list
        temporality = (self._preferred_temporality or {}).get(Instrument)
        self._is_delta = temporality == AggregationTemporality.DELTA
        self._exported: dict[tuple[str, ...], counts.Histogram] = {}
        self._since = time.time_ns()

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **options: Any
    ) -> MetricExportResult:
        """Send the metrics of the SDK, and the histograms."""
        [resource] = metrics_data.resource_metrics
        [scope] = resource.scope_metrics
        metrics = [*scope.metrics, *self._histograms()]
        scopes = [replace(scope, metrics=metrics)]
        whole = MetricsData([replace(resource, scope_metrics=scopes)])
        return super().export(whole, timeout_millis, **options)

    def _histograms(self) -> list[Metric]:
        now = time.time_ns()
        metrics = [self._metric(family, now) for family in self.histograms()]
        if self._is_delta:
            self._since = now
        return metrics

    def _metric(self, family: Family, now: int) -> Metric:
        kind = AggregationTemporality.DELTA if self._is_delta else AggregationTemporality.CUMULATIVE
        points = [
            _point(self._new(family.name, labels, value), family, labels, self._since, now)
            for labels, value in family.samples
            if isinstance(value, counts.Histogram)
        ]
        data = Histogram(points, kind)
        return Metric(PREFIX + family.name, family.help, UNITS[family.unit], data)

    def _new(self, name: str, labels: tuple[str, ...], value: counts.Histogram) -> counts.Histogram:
        """Return what is to be sent: with the temporality `delta` only what has come since."""
        if not self._is_delta:
            return value
        before = self._exported.get((name, *labels), counts.Histogram())
        self._exported[name, *labels] = value
        return value.since(before)


def _point(
    value: counts.Histogram, family: Family, labels: tuple[str, ...], since: int, now: int
) -> HistogramDataPoint:
    unknown: Any = None  # the least and the greatest value, which the protocol may leave out
    return HistogramDataPoint(
        attributes=dict(zip(family.labels, labels, strict=True)),
        start_time_unix_nano=since,
        time_unix_nano=now,
        count=sum(value.counts),
        sum=value.total,
        bucket_counts=value.counts,
        explicit_bounds=counts.BOUNDS,
        min=unknown,
        max=unknown,
    )
