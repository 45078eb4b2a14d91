"""`/_sidekey/metrics`: the counts as Prometheus collects them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from proxy.background import in_background
from proxy.gateway.problems import PROTECTION
from proxy.observe.counts import BOUNDS, Counts, Histogram
from proxy.observe.families import Family, families
from proxy.observe.measures import Measures
from proxy.observe.pages import Route, Visit
from proxy.observe.status import Status

if TYPE_CHECKING:
    from prometheus_client import Metric

PREFIX = "sidekey_"
ENDS = (*map(str, BOUNDS), "+Inf")


class Metrics:
    """The page for Prometheus."""

    def __init__(
        self, measures: Measures, statuses: Callable[[], Awaitable[Sequence[Status]]]
    ) -> None:
        self._measures = measures
        self._statuses = statuses

    def routes(self) -> list[Route]:
        """Return the page."""
        return [Route("GET", "/metrics", self.metrics)]

    async def metrics(self, visit: Visit) -> web.Response:
        """Answer a scrape in the format that it asks for."""
        statuses = await self._statuses()
        counts = self._measures.whole()
        accept = ",".join(visit.request.headers.getall(hdrs.ACCEPT, []))
        # With a thousand upstreams this takes long, and requests go on meanwhile.
        writing = in_background(lambda: exposition(counts, statuses, accept))
        text, content_type = await asyncio.wrap_future(writing)
        return web.Response(body=text, headers={**PROTECTION, hdrs.CONTENT_TYPE: content_type})


def exposition(counts: Counts, statuses: Sequence[Status], accept: str) -> tuple[bytes, str]:
    """Return what a scraper gets that sends `Accept: accept`, and its media type.

    The library is imported with the first scrape: most proxies never see one.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

    class OfCounts(Collector):
        def collect(self) -> Iterator[Metric]:
            return map(_metric, families(counts, statuses))

    registry = CollectorRegistry(auto_describe=False)
    registry.register(OfCounts())
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def _metric(family: Family) -> Metric:
    from prometheus_client import Metric

    metric = Metric(PREFIX + family.name, family.help, family.kind, family.unit)
    suffix = "_total" if family.kind == "counter" else ""
    for values, value in family.samples:
        labels = dict(zip(family.labels, values, strict=True))
        if isinstance(value, Histogram):
            _add_histogram(metric, labels, value)
        else:
            metric.add_sample(metric.name + suffix, labels, value)
    return metric


def _add_histogram(metric: Metric, labels: dict[str, str], histogram: Histogram) -> None:
    for end, count in zip(ENDS, accumulate(histogram.counts), strict=True):
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": end}, count)
    metric.add_sample(f"{metric.name}_count", labels, sum(histogram.counts))
    metric.add_sample(f"{metric.name}_sum", labels, histogram.total)
