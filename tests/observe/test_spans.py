"""What spans tell of an event: names, times, attributes, parents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from event_samples import ABORTED, ACQUIRED, ANSWERED, FAILED, FORWARDED, REFUSED

trace = pytest.importorskip("opentelemetry.sdk.trace", reason="needs opentelemetry-sdk")

from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402  behind that
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: E402
    InMemorySpanExporter,
)
from opentelemetry.trace import SpanKind  # noqa: E402

from proxy.events import Event  # noqa: E402
from proxy.observe.spans import Spans  # noqa: E402

NOW = 1_764_400_000_000_000_000  # nanoseconds
MS = 1_000_000
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def spans_of(*events: Event, base_url: str | None = "https://api.example.com/v1") -> list[Any]:
    """Return the spans that events have become, parents first."""
    exporter = InMemorySpanExporter()
    provider = trace.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(
        provider.get_tracer("test"),
        lambda text: text.replace("secret", "***"),
        lambda _name: base_url,
        now=lambda: NOW,
    )
    for event in events:
        spans.observe(event)
    return sorted(exporter.get_finished_spans(), key=lambda span: span.kind != SpanKind.SERVER)


def times(span: Any) -> tuple[float, float]:
    """When a span began and ended, in milliseconds before now."""
    return (NOW - span.start_time) / MS, (NOW - span.end_time) / MS


def test_the_parts_of_a_request_stand_in_it_one_after_the_other() -> None:
    event = replace(FORWARDED, seconds=0.1, token_seconds=0.03, upstream_seconds=0.05, renewed=True)
    server, waiting, exchange = spans_of(event)
    assert [one.name for one in (server, waiting, exchange)] == ["GET r", "wait for token", "GET"]
    assert times(server) == pytest.approx((100, 0))
    assert times(waiting) == pytest.approx((100, 70))
    assert times(exchange) == pytest.approx((70, 20))
    for child in (waiting, exchange):
        assert child.parent.span_id == server.context.span_id
        assert child.context.trace_id == server.context.trace_id


def test_a_request_that_did_not_wait_has_no_span_for_it() -> None:
    assert [one.name for one in spans_of(FORWARDED)] == ["GET r", "GET"]


def test_the_client_span_names_the_server_that_was_asked() -> None:
    _, exchange = spans_of(FORWARDED)
    assert exchange.attributes["server.address"] == "api.example.com"
    assert exchange.attributes["server.port"] == 443
    _, exchange = spans_of(FORWARDED, base_url="http://[::1]:8080/v1")
    assert exchange.attributes["server.address"] == "::1"
    assert exchange.attributes["server.port"] == 8080
    _, exchange = spans_of(FORWARDED, base_url=None)
    assert "server.address" not in exchange.attributes


@pytest.mark.parametrize(
    ("status", "of_server", "of_client"), [(200, 0, 0), (404, 0, 2), (503, 2, 2)]
)
def test_an_error_is_that_of_who_has_made_it(status: int, of_server: int, of_client: int) -> None:
    """As the conventions have it: 404 is no failure of a server."""
    server, exchange = spans_of(replace(FORWARDED, status=status))
    found = [2 if one.status.status_code.name == "ERROR" else 0 for one in (server, exchange)]
    assert found == [of_server, of_client]
    assert server.attributes["http.response.status_code"] == status


@pytest.mark.parametrize(("status", "is_error"), [(200, False), (404, False), (503, True)])
def test_a_local_answer_is_no_call_of_the_upstream(status: int, is_error: bool) -> None:
    [server] = spans_of(replace(ANSWERED, status=status, seconds=0.1))
    assert (server.name, server.kind, times(server)) == ("POST r", SpanKind.SERVER, (100, 0))
    assert server.attributes["http.response.status_code"] == status
    assert server.attributes["sidekey.rule"] == "upstreams.r.local_answers[0]"
    assert (server.status.status_code.name == "ERROR") is is_error


def test_only_what_is_so_is_said() -> None:
    plain, _ = spans_of(FORWARDED)
    assert not {"sidekey.renewed", "sidekey.replayed", "sidekey.rejected"} & plain.attributes.keys()
    replayed, _ = spans_of(replace(FORWARDED, replayed=True, rejected=True))
    assert replayed.attributes["sidekey.replayed"] is True
    assert replayed.attributes["sidekey.rejected"] is True


def test_methods_that_nobody_knows_have_one_name() -> None:
    """Names of spans are few, so that a collector can group them."""
    [server] = spans_of(replace(REFUSED, method="CANARY", slug="method-not-allowed", status=405))
    assert server.name == "HTTP r"
    assert server.attributes["http.request.method"] == "_OTHER"


def test_no_span_holds_a_secret_or_a_long_path() -> None:
    for event in (
        replace(FORWARDED, path="/r/secret/a"),
        replace(ANSWERED, path="/r/secret/a"),
        replace(REFUSED, path="/r/secret/a", detail="a secret"),
        replace(ABORTED, path="/r/secret/a", reason="a secret"),
        replace(FAILED, detail="a secret"),
    ):
        for span in spans_of(event):
            assert "secret" not in span.to_json()
    server, _ = spans_of(replace(FORWARDED, path="/r/" + "a" * 16_000))
    assert len(server.attributes["url.path"]) == 512


def test_the_trace_is_the_clients_if_it_has_one() -> None:
    for event in (FORWARDED, ANSWERED, REFUSED, ABORTED):
        server = spans_of(replace(event, trace=TRACEPARENT))[0]
        assert f"{server.context.trace_id:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert f"{server.parent.span_id:016x}" == "00f067aa0ba902b7"
        assert spans_of(event)[0].parent is None


def test_who_is_not_to_be_sampled_leaves_no_span() -> None:
    assert spans_of(replace(FORWARDED, trace=TRACEPARENT[:-1] + "0")) == []


def test_what_is_refused_or_cut_off_lasts_as_long_as_it_took() -> None:
    [refused] = spans_of(REFUSED)
    [aborted] = spans_of(ABORTED)
    assert times(refused) == pytest.approx((1, 0))
    assert times(aborted) == pytest.approx((500, 0))
    assert refused.attributes["error.type"] == "login-required"
    assert refused.status.description == "nobody"
    assert aborted.attributes["error.type"] == "aborted"


def test_a_token_that_was_asked_for_is_a_span_of_its_own() -> None:
    acquired, failed = spans_of(ACQUIRED, FAILED)
    assert acquired.name == failed.name == "acquire token r"
    assert times(acquired) == pytest.approx((300, 0))
    assert acquired.attributes["sidekey.token.generation"] == 1
    assert acquired.attributes["sidekey.token.expires_at"] == "2026-01-01T00:00:00+00:00"
    assert failed.attributes["error.type"] == "grant-rejected"
    assert failed.status.status_code.name == "ERROR"
