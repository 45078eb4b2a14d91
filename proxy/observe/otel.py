"""Exports spans and metrics to an OpenTelemetry collector, as the `OTEL_*` variables say.

Whatever becomes of the collector, requests do not notice: what cannot be exported is dropped, and
the log says so once in a while.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import unquote

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from proxy import __version__
from proxy.background import in_background
from proxy.credentials.redaction import Redaction
from proxy.credentials.secret import Secret
from proxy.errors import ConfigError
from proxy.events import Observer, nobody
from proxy.observe.instruments import Exporter, Instruments
from proxy.observe.measures import Measures
from proxy.observe.spans import Spans
from proxy.observe.status import Status
from proxy.observe.telemetry import ENDPOINT

SCOPE = "sidekey"
PREFIX = "OTEL_"
FLUSH = 2.0  # seconds that the last export may take: a container is killed after ten
SELDOM = 300.0  # seconds between two lines about a collector that fails
SIGNALS = "TRACES", "METRICS"
_HIDDEN_IN_URL = re.compile(r"(?<=://)[^/?#\s@]+(?=@)|(?<==)[^&#\s]+")  # user, values of a query
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_{}_HEADERS"
LOGGER = logging.getLogger("sidekey")


class Export:
    """What the variables ask for; `signals` are `TRACES`, `METRICS` or both.

    It is made before workers are forked, so that all tell of one run, and starts in each of them:
    threads do not survive a fork.
    """

    def __init__(self, environ: Mapping[str, str], signals: tuple[str, ...]) -> None:
        self._variables = {name: environ[name] for name in environ if name.startswith(PREFIX)}
        self._signals = signals
        self._run = uuid.uuid4()

    @asynccontextmanager
    async def running(
        self,
        number: int,
        measures: Measures,
        redaction: Redaction,
        base_url: Callable[[str], str | None],
    ) -> AsyncIterator[Exporting]:
        """Export what the yielded observer is told, until the block ends; then what is left.

        `number` is that of the worker: the first one exports the metrics of all. `base_url` returns
        that of an upstream at present.
        Raises `ConfigError` for variables that the SDK does not take.
        """
        self._hide_headers(redaction)
        _quiet_sdk()
        with _in_environment(self._variables):
            try:
                resource = self._resource(number)
                tracing = _tracing(resource) if "TRACES" in self._signals else None
                is_metering = "METRICS" in self._signals and number == 0
                metering = Metering(resource, measures) if is_metering else None
            except ValueError as error:
                raise ConfigError([f"OTEL_*: {redaction.masked(str(error))}"]) from None
        observe = nobody
        if tracing is not None:
            tracer = tracing.get_tracer(SCOPE, __version__)
            observe = Spans(tracer, redaction.masked, base_url).observe
        try:
            yield Exporting(observe, None if metering is None else metering.instruments)
        finally:
            await _ended(tracing, None if metering is None else metering.provider)

    def _resource(self, number: int) -> Resource:
        """Return who we are, unless the variables say something else."""
        return Resource.create(
            {
                "service.name": "sidekey",
                "service.version": __version__,
                "service.instance.id": str(uuid.uuid5(self._run, str(number))),
                **OTELResourceDetector().detect().attributes,
            }
        )

    def _hide_headers(self, redaction: Redaction) -> None:
        """Let no text show what the collector wants to see: it may be a key."""
        names = [ENDPOINT, *(f"OTEL_EXPORTER_OTLP_{one}_ENDPOINT" for one in SIGNALS)]
        for name in names:
            for part in _HIDDEN_IN_URL.findall(self._variables.get(name, "")):
                redaction.know(Secret(part))
        texts = [self._variables.get(name.format(one), "") for name in HEADERS for one in SIGNALS]
        for field in ",".join(texts).split(","):
            value = field.partition("=")[2].strip() or field.strip()
            for secret in {value, unquote(value), unquote(value).rpartition(" ")[2]} - {""}:
                redaction.know(Secret(secret))


@dataclass(frozen=True)
class Exporting:
    """An export under way: `observe` takes events."""

    observe: Observer
    _instruments: Instruments | None

    def watch(self, statuses: Callable[[], Awaitable[Sequence[Status]]] | None) -> None:
        """Tell of the states of these tokens from now on, of none if there are none."""
        if self._instruments is not None:
            self._instruments.statuses = statuses


class Metering:
    """What exports metrics from time to time."""

    def __init__(self, resource: Resource, measures: Measures) -> None:
        exporter = Exporter()
        reader = PeriodicExportingMetricReader(exporter)
        self.provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        meter = self.provider.get_meter(SCOPE, __version__)
        self.instruments = Instruments(meter, measures)
        exporter.histograms = self.instruments.histograms


def _tracing(resource: Resource) -> TracerProvider:
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


async def _ended(*providers: TracerProvider | MeterProvider | None) -> None:
    """Export what is left, but do not wait for a collector that does not answer."""
    flushing = [
        asyncio.wrap_future(in_background(provider.shutdown))
        for provider in providers
        if provider is not None
    ]
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*flushing), FLUSH)


@contextmanager
def _in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Let the SDK find variables that the configuration may have taken from the environment."""
    taken = variables.keys() - os.environ.keys()
    os.environ.update({name: variables[name] for name in taken})
    try:
        yield
    finally:
        for name in taken:
            del os.environ[name]


class Seldom(logging.Handler):
    """Passes the SDK's warnings on, one line in `SELDOM` seconds: it has one for each request."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._now = now
        self._next = -math.inf

    def emit(self, record: logging.LogRecord) -> None:
        """Log it without its traceback, unless there was one not long ago."""
        now = self._now()
        if now >= self._next:
            self._next = now + SELDOM
            LOGGER.warning("OpenTelemetry: %s", record.getMessage())


def _quiet_sdk() -> None:
    for name in ("opentelemetry", "urllib3"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [Seldom()]
        logger.propagate = False
