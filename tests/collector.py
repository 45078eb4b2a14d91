"""A collector that takes spans and metrics over OTLP/HTTP, as any vendor's does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from command_line import PATIENCE

metrics_service = pytest.importorskip(
    "opentelemetry.proto.collector.metrics.v1.metrics_service_pb2",
    reason="needs opentelemetry-exporter-otlp-proto-http",
)
trace_service = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
    reason="needs opentelemetry-exporter-otlp-proto-http",
)
SERVER, CLIENT, INTERNAL = 2, 3, 1  # kinds of spans
ERROR = 2  # a status
DELTA = 1  # a temporality


@dataclass(frozen=True)
class Received:
    """A span, with its attributes and those of who sent it."""

    span: Any
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.span.name)


@dataclass
class Collector:
    """Where it listens, and what came: raw bodies, header fields, spans, and the latest metrics."""

    endpoint: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    spans: list[Received] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)  # by name
    histograms: list[Any] = field(default_factory=list)  # of request durations, as they came
    instances: set[str] = field(default_factory=set)  # that sent metrics
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def takes_spans(self, request: web.Request) -> web.Response:
        message = trace_service.ExportTraceServiceRequest.FromString(await self._body(request))
        for group in message.resource_spans:
            resource = plain(group.resource.attributes)
            self.spans += [
                Received(span, plain(span.attributes), resource)
                for scope in group.scope_spans
                for span in scope.spans
            ]
        return self._done(trace_service.ExportTraceServiceResponse())

    async def takes_metrics(self, request: web.Request) -> web.Response:
        message = metrics_service.ExportMetricsServiceRequest.FromString(await self._body(request))
        for group in message.resource_metrics:
            self.instances.add(plain(group.resource.attributes)["service.instance.id"])
            for scope in group.scope_metrics:
                self.metrics |= {metric.name: metric for metric in scope.metrics}
                self.histograms.append(self.metrics["sidekey.request_duration"].histogram)
        return self._done(metrics_service.ExportMetricsServiceResponse())

    async def has(self, *names: str) -> list[Received]:
        """Wait for spans of these names, in any order; return them in that of the names."""
        await self.until(lambda: {*names} <= {one.name for one in self.spans})
        return [self.named(name)[0] for name in names]

    async def until(self, happened: Any) -> None:
        """Wait until something that came makes it true."""
        async with asyncio.timeout(PATIENCE):
            while not happened():
                self._more.clear()
                await self._more.wait()

    def named(self, name: str) -> list[Received]:
        return [one for one in self.spans if one.name == name]

    def children(self, parent: Received) -> list[Received]:
        return [one for one in self.spans if one.span.parent_span_id == parent.span.span_id]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of one sample of a counter or a gauge, as it was last."""
        metric = self.metrics.get(name)
        if metric is None:
            return None
        points = (metric.sum if metric.HasField("sum") else metric.gauge).data_points
        found = [point for point in points if plain(point.attributes) == labels]
        return number(found[0]) if found else None

    @property
    def durations(self) -> int:
        """How many durations all histograms that came have together."""
        return sum(point.count for one in self.histograms for point in one.data_points)

    async def _body(self, request: web.Request) -> bytes:
        assert request.content_type == "application/x-protobuf"
        body = await request.read()
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return body

    def _done(self, message: Any) -> web.Response:
        self._more.set()
        return web.Response(body=message.SerializeToString(), content_type="application/x-protobuf")


def number(point: Any) -> float:
    return float(getattr(point, point.WhichOneof("value")))


def plain(attributes: Any) -> dict[str, Any]:
    """Return attributes as a mapping."""
    return dict(_pairs(attributes))


def _pairs(attributes: Any) -> Iterator[tuple[str, Any]]:
    for one in attributes:
        yield one.key, getattr(one.value, one.value.WhichOneof("value"))


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Serve on a free port until the block ends."""
    collector = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", collector.takes_spans)
    application.router.add_post("/v1/metrics", collector.takes_metrics)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [address] = runner.addresses
    collector.endpoint = f"http://127.0.0.1:{address[1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()
