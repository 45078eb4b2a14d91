"""Events as spans of OpenTelemetry, by its conventions for HTTP servers and clients."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy.events import (
    Event,
    RequestAborted,
    RequestAnswered,
    RequestForwarded,
    RequestRefused,
    TokenAcquired,
    TokenFailed,
)
from proxy.observe.request_log import PATH_LIMIT
from proxy.refusals import METHODS

Attributes = Mapping[str, str | int | bool]
AnyRequest = RequestForwarded | RequestAnswered | RequestRefused | RequestAborted
NANOSECONDS = 1_000_000_000
_PROPAGATOR = TraceContextTextMapPropagator()


class Spans:
    """An observer that ends a span for each request, and for each token that was asked for.

    The parts of a request stand one after the other in its span: the wait for a token, then the
    wait for the upstream's answer. That of a request that was replayed has both sendings, though
    the wait for the token was between them.
    """

    def __init__(
        self,
        tracer: Tracer,
        masked: Callable[[str], str],
        base_url: Callable[[str], str | None],
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tracer = tracer
        self._masked = masked
        self._base_url = base_url
        self._now = now

    def observe(self, event: Event) -> None:
        """Turn an event into spans."""
        if isinstance(event, RequestForwarded):
            self._forwarded(event)
        elif isinstance(event, RequestAnswered):
            self._answered(event)
        elif isinstance(event, RequestRefused):
            self._refused(event)
        elif isinstance(event, RequestAborted):
            self._aborted(event)
        elif isinstance(event, TokenAcquired):
            self._acquired(event)
        elif isinstance(event, TokenFailed):
            self._failed(event)

    def _forwarded(self, event: RequestForwarded) -> None:
        end = self._now()
        start = end - _nanoseconds(event.seconds)
        span = self._request(event, start)
        if span.is_recording():
            span.set_attribute("http.response.status_code", event.status)
            for name in ("renewed", "replayed", "rejected"):
                if getattr(event, name):
                    span.set_attribute(f"sidekey.{name}", True)
            if event.status >= 500:
                _fail(span, str(event.status))
            self._parts(event, span, start)
        span.end(end)

    def _parts(self, event: RequestForwarded, parent: Span, start: int) -> None:
        context = set_span_in_context(parent, Context())
        sent = start + _nanoseconds(event.token_seconds)
        if event.renewed:
            waiting = self._tracer.start_span(
                "wait for token",
                context,
                attributes={"sidekey.upstream": event.upstream},
                start_time=start,
            )
            waiting.end(sent)
        exchange = self._tracer.start_span(
            _known(event.method, "HTTP"),
            context,
            SpanKind.CLIENT,
            attributes={
                **_method(event.method),
                **_server(self._base_url(event.upstream)),
                "http.response.status_code": event.status,
                "sidekey.upstream": event.upstream,
            },
            start_time=sent,
        )
        if event.status >= 400:
            _fail(exchange, str(event.status))
        exchange.end(sent + _nanoseconds(event.upstream_seconds))

    def _answered(self, event: RequestAnswered) -> None:
        end = self._now()
        span = self._request(event, end - _nanoseconds(event.seconds))
        span.set_attribute("http.response.status_code", event.status)
        span.set_attribute("sidekey.rule", event.rule)
        if event.status >= 500:
            _fail(span, str(event.status))
        span.end(end)

    def _refused(self, event: RequestRefused) -> None:
        end = self._now()
        span = self._request(event, end - _nanoseconds(event.seconds))
        span.set_attribute("http.response.status_code", event.status)
        span.set_attribute("error.type", event.slug)
        if event.status >= 500:
            _fail(span, event.slug, self._masked(event.detail))
        span.end(end)

    def _aborted(self, event: RequestAborted) -> None:
        end = self._now()
        span = self._request(event, end - _nanoseconds(event.seconds))
        _fail(span, "aborted", self._masked(event.reason))
        span.end(end)

    def _request(self, event: AnyRequest, start: int) -> Span:
        """Begin the span of a request, in the trace of the client's if it has one."""
        attributes: dict[str, str | int | bool] = {
            **_method(event.method),
            "url.scheme": "http",
            "url.path": self._masked(event.path[:PATH_LIMIT]),
            "sidekey.request_id": event.request_id,
        }
        if event.upstream:
            attributes["sidekey.upstream"] = event.upstream
        return self._tracer.start_span(
            f"{_known(event.method, 'HTTP')} {event.upstream or ''}".rstrip(),
            _context(event.trace),
            SpanKind.SERVER,
            attributes=attributes,
            start_time=start,
        )

    def _acquired(self, event: TokenAcquired) -> None:
        end = self._now()
        span = self._acquisition(event.upstream, end - _nanoseconds(event.seconds))
        span.set_attribute("sidekey.token.generation", event.generation)
        if event.expires_at is not None:
            span.set_attribute("sidekey.token.expires_at", event.expires_at.isoformat())
        span.end(end)

    def _failed(self, event: TokenFailed) -> None:
        end = self._now()  # nobody tells how long it took
        span = self._acquisition(event.upstream, end)
        _fail(span, event.slug, self._masked(event.detail))
        span.end(end)

    def _acquisition(self, upstream: str, start: int) -> Span:
        return self._tracer.start_span(
            f"acquire token {upstream}",
            Context(),
            attributes={"sidekey.upstream": upstream},
            start_time=start,
        )


def _nanoseconds(seconds: float) -> int:
    return int(seconds * NANOSECONDS)


def _context(trace: str | None) -> Context:
    return Context() if trace is None else _PROPAGATOR.extract({"traceparent": trace}, Context())


def _known(method: str, otherwise: str) -> str:
    return method if method in METHODS else otherwise


def _method(method: str) -> Attributes:
    return {"http.request.method": _known(method, "_OTHER")}


def _server(base_url: str | None) -> Attributes:
    if base_url is None:
        return {}
    url = urlsplit(base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    return {"server.address": url.hostname or "", "server.port": port}


def _fail(span: Span, kind: str, why: str | None = None) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, why))
