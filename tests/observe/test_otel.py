"""What a collector of OpenTelemetry receives from `sidekey run`, and what happens without one."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from canaries import canary, holds_canary
from collector import CLIENT, DELTA, ERROR, INTERNAL, SERVER, Collector, collecting
from command_line import PATIENCE, Home, Started, free_port, until
from raw_upstream import Conversation, answering, conversing
from scraping import scrape
from token_server import token_server

from proxy import __version__
from proxy.errors import ConfigError
from proxy.observe.families import STATES
from proxy.observe.telemetry import export_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
KEYED = 'r: {{base_url: "{origin}/v1", provider: {{type: api_key, keys: "${{KEY}}"}}{more}}}'
OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "200"}  # milliseconds


@asynccontextmanager
async def exporting(
    home: Home, upstreams: str, *options: str, beginning: str = "", **environ: str
) -> AsyncIterator[tuple[Started, str, Collector]]:
    """Run the proxy beside a collector that it exports to."""
    home.configure(f"{beginning}upstreams:\n  {upstreams}\n")
    async with collecting() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "KEY": canary("key"),
            **OFTEN,
            **environ,
        }
        async with home.serving(*options, **variables) as proxy:
            yield proxy, await proxy.address(), collector


async def get(url: str, **fields: str) -> int:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers) as answer,
    ):
        await answer.read()
        return answer.status


async def test_a_request_is_a_span_in_the_trace_of_its_client(home: Home) -> None:
    async with (
        answering() as upstream,
        exporting(home, KEYED.format(origin=upstream.origin, more="")) as (_, address, collector),
    ):
        before = time.time_ns()
        assert await get(f"{address}/r/items?secret=x", traceparent=TRACEPARENT) == 200
        after = time.time_ns()
        [server] = await collector.has("GET r")
        await collector.has("GET")
        [exchange] = [one for one in collector.children(server) if one.span.kind == CLIENT]
        port = int(upstream.origin.rpartition(":")[2])
    assert upstream.last.field("traceparent") == [TRACEPARENT], "it is the client's, untouched"
    assert server.span.kind == SERVER
    assert server.span.trace_id.hex() == TRACE
    assert server.span.parent_span_id.hex() == PARENT
    assert server.attributes["http.request.method"] == "GET"
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["url.path"] == "/r/items"
    assert server.attributes["url.scheme"] == "http"
    assert server.attributes["sidekey.upstream"] == "r"
    assert len(server.attributes["sidekey.request_id"]) == 16
    assert server.span.status.code == 0
    assert server.resource["service.name"] == "sidekey"
    assert server.resource["service.version"] == __version__
    assert exchange.span.trace_id == server.span.trace_id
    assert exchange.attributes["server.address"] == "127.0.0.1"
    assert exchange.attributes["server.port"] == port
    start, end = server.span.start_time_unix_nano, server.span.end_time_unix_nano
    slack = 10**9  # the fact is told a moment after the client has its answer
    assert before - slack <= start <= end <= after + slack
    assert start <= exchange.span.start_time_unix_nano <= exchange.span.end_time_unix_nano


async def test_a_request_without_a_trace_begins_one(home: Home) -> None:
    async with (
        answering() as upstream,
        exporting(home, KEYED.format(origin=upstream.origin, more="")) as (_, address, collector),
    ):
        async with aiohttp.ClientSession() as session:  # the later ones take the fast lane
            for _ in range(5):
                async with session.get(f"{address}/r/a") as answer:
                    assert answer.status == 200
        await collector.until(lambda: len(collector.named("GET r")) == 5)
    spans = [one.span for one in collector.named("GET r")]
    assert len({span.trace_id for span in spans}) == 5
    assert {span.parent_span_id for span in spans} == {b""}
    assert upstream.last.field("traceparent") == []


async def test_a_client_that_samples_decides_for_its_trace(home: Home) -> None:
    async with (
        answering() as upstream,
        exporting(home, KEYED.format(origin=upstream.origin, more="")) as (_, address, collector),
    ):
        assert await get(f"{address}/r/left-out", traceparent=TRACEPARENT[:-1] + "0") == 200
        assert await get(f"{address}/r/kept", traceparent=TRACEPARENT) == 200
        await collector.has("GET r")
    assert [one.attributes["url.path"] for one in collector.named("GET r")] == ["/r/kept"]


async def test_the_wait_for_a_token_and_its_acquisition_have_spans(home: Home) -> None:
    async with (
        token_server() as server,
        exporting(home, server.upstreams("r")) as (_, address, collector),
    ):
        server.faults.append(0.2)  # seconds that the first answer takes
        assert await get(f"{address}/r/a") == 200
        request, acquired = await collector.has("GET r", "acquire token r")
        await collector.has("wait for token", "GET")
        waiting, exchange = sorted(
            collector.children(request), key=lambda one: one.span.start_time_unix_nano
        )
        server.revoke()
        assert await get(f"{address}/r/a") == 200
        await collector.until(lambda: len(collector.named("GET r")) == 2)
    assert (waiting.name, waiting.span.kind) == ("wait for token", INTERNAL)
    assert exchange.span.kind == CLIENT
    assert waiting.span.end_time_unix_nano == exchange.span.start_time_unix_nano
    for one in (waiting, acquired):  # at least what the endpoint took
        assert one.span.end_time_unix_nano - one.span.start_time_unix_nano >= 190_000_000
    assert acquired.attributes["sidekey.upstream"] == "r"
    assert "sidekey.token.expires_at" in acquired.attributes
    assert request.attributes["sidekey.renewed"] is True
    replayed = collector.named("GET r")[-1]
    assert replayed.attributes["sidekey.replayed"] is True


async def test_what_is_refused_or_cut_off_has_a_span_that_says_why(home: Home) -> None:
    async def cut(peer: Conversation) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")

    more = ", deny: [{methods: [DELETE], paths: ['/**']}]"
    async with (
        conversing(cut) as upstream,
        exporting(home, KEYED.format(origin=upstream.origin, more=more)) as (_, address, collector),
        aiohttp.ClientSession() as session,
    ):
        with pytest.raises(aiohttp.ClientError):
            await get(f"{address}/r/a", traceparent=TRACEPARENT)
        async with session.delete(f"{address}/r/a") as answer:
            assert answer.status == 403
        assert await get(f"{address}/nobody/a") == 404
        aborted, denied, unknown = await collector.has("GET r", "DELETE r", "GET")
    assert aborted.span.parent_span_id.hex() == PARENT
    assert aborted.span.end_time_unix_nano > aborted.span.start_time_unix_nano
    assert (aborted.attributes["error.type"], aborted.span.status.code) == ("aborted", ERROR)
    assert denied.attributes["error.type"] == "not-allowed"
    assert denied.attributes["http.response.status_code"] == 403
    assert denied.span.status.code != ERROR, "that is the client's fault"
    assert unknown.attributes["error.type"] == "unknown-upstream"
    assert "sidekey.upstream" not in unknown.attributes


async def test_a_token_endpoint_that_refuses_has_a_span_that_says_so(home: Home) -> None:
    async with (
        token_server() as server,
        exporting(home, server.upstreams("r", password=canary("wrong"))) as (_, address, collector),
    ):
        assert await get(f"{address}/r/a") == 502
        request, failed = await collector.has("GET r", "acquire token r")
    for one in (request, failed):
        assert one.attributes["error.type"] == "grant-rejected"
        assert one.span.status.code == ERROR


async def test_metrics_are_those_that_prometheus_scrapes(home: Home) -> None:
    labels = {"upstream": "r", "method": "GET", "status": "200"}
    async with (
        token_server() as server,
        exporting(home, server.upstreams("r")) as (_, address, collector),
    ):
        for _ in range(7):
            assert await get(f"{address}/r/a") == 200
        scraped = await scrape(address)
        await collector.until(lambda: collector.value("sidekey.requests", **labels) == 7)
        metrics = dict(collector.metrics)
    assert collector.value("sidekey.tokens_acquired", upstream="r") == 1
    states = [collector.value("sidekey.token_state", upstream="r", state=one) for one in STATES]
    assert sum(value or 0 for value in states) == 1
    expiry = scraped.value("sidekey_token_expiry_timestamp_seconds", upstream="r")
    assert collector.value("sidekey.token_expiry_timestamp", upstream="r") == expiry
    [durations] = metrics["sidekey.request_duration"].histogram.data_points
    assert durations.count == 7
    scraped_sum = scraped.value("sidekey_request_duration_seconds_sum", upstream="r")
    assert durations.sum == pytest.approx(scraped_sum)
    as_prometheus = {
        "sidekey_" + name.removeprefix("sidekey.") + ("_seconds" if metric.unit == "s" else "")
        for name, metric in metrics.items()
    }
    assert as_prometheus <= scraped.families.keys()
    assert all(metric.description for metric in metrics.values())


async def test_histograms_tell_what_is_new_where_that_is_preferred(home: Home) -> None:
    delta = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
    async with (
        answering() as upstream,
        exporting(home, KEYED.format(origin=upstream.origin, more=""), **delta) as (
            _,
            address,
            collector,
        ),
    ):
        sent = 0
        for _ in range(2):
            for _ in range(5):
                assert await get(f"{address}/r/a") == 200
            sent += 5
            await collector.until(lambda sent=sent: collector.durations == sent)
        first = collector.histograms[0]
    assert first.aggregation_temporality == DELTA
    assert len([one for one in collector.histograms if one.data_points[0].count]) >= 2
    times = [
        (one.data_points[0].start_time_unix_nano, one.data_points[0].time_unix_nano)
        for one in collector.histograms
    ]
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(times))


async def test_what_is_left_is_exported_at_the_end(home: Home) -> None:
    rarely = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000"}
    labels = {"upstream": "r", "method": "GET", "status": "200"}
    async with (
        answering() as upstream,
        exporting(home, KEYED.format(origin=upstream.origin, more=""), **rarely) as (
            proxy,
            address,
            collector,
        ),
    ):
        assert await get(f"{address}/r/a") == 200
        ended = await proxy.stopped()
    assert (ended.code, "OpenTelemetry" in ended.err) == (0, False)
    assert len(collector.named("GET r")) == 1
    assert collector.value("sidekey.requests", **labels) == 1


async def test_workers_tell_who_they_are_and_count_once(home: Home) -> None:
    async with (
        answering() as upstream,
        exporting(home, KEYED.format(origin=upstream.origin, more=""), "--workers", "2") as (
            proxy,
            address,
            collector,
        ),
    ):
        count, workers = 0, set[str]()
        async with asyncio.timeout(PATIENCE):
            while count < 40 or len(workers) < 2:  # one may take them all for a while
                asked = [get(f"{address}/r/a") for _ in range(4)]
                assert set(await asyncio.gather(*asked)) == {200}
                count += 4
                workers = {str(one.resource["service.instance.id"]) for one in collector.spans}
        labels = {"upstream": "r", "method": "GET", "status": "200"}
        await collector.until(lambda: collector.value("sidekey.requests", **labels) == count)
        await collector.until(lambda: len(collector.named("GET r")) == count)
        ended = await proxy.stopped()
    assert ended.code == 0
    assert len(collector.instances) == 1
    assert collector.instances < workers
    [durations] = collector.metrics["sidekey.request_duration"].histogram.data_points
    assert durations.count == count
    assert collector.value("sidekey.config_reloads", result="loaded") == 0


async def test_no_secret_is_exported(home: Home) -> None:
    """Not what is configured, no token, no query, and no key that a client puts into its path."""
    header = canary("collector")
    async with (
        token_server() as server,
        exporting(
            home,
            server.upstreams("r"),
            beginning="clients: {keys: '${CLIENT_KEY}'}\n",
            CLIENT_KEY=(key := canary("client")),
            OTEL_EXPORTER_OTLP_HEADERS=f"x-api-key={header},authorization=Bearer%20{header}",
        ) as (proxy, address, collector),
    ):
        for path in (f"/r/{key}?token={key}", f"/{key}/a", f"/r/a?password={canary('query')}"):
            await get(address + path, Authorization=f"Bearer {key}")
        await get(f"{address}/r/a", Authorization=f"Bearer {canary('wrong')}")
        await collector.until(lambda: len(collector.spans) >= 6)
        await collector.until(lambda: "sidekey.requests" in collector.metrics)
        ended = await proxy.stopped()
    assert "/r/***" in {one.attributes.get("url.path") for one in collector.spans}
    assert collector.headers[0]["x-api-key"] == header
    assert collector.headers[0]["authorization"] == f"Bearer {header}"
    assert not [body for body in collector.bodies if holds_canary(body)]
    assert not holds_canary(ended.said)


async def test_a_header_that_is_written_wrongly_is_not_quoted(home: Home) -> None:
    """The SDK quotes it: it is the key to the collector."""
    key = canary("collector")
    async with (
        answering() as upstream,
        exporting(
            home,
            KEYED.format(origin=upstream.origin, more=""),
            OTEL_EXPORTER_OTLP_HEADERS=f"authorization: Bearer {key}",
        ) as (proxy, address, collector),
    ):
        assert await get(f"{address}/r/a") == 200
        await collector.has("GET r")
        ended = await proxy.stopped()
    assert "OpenTelemetry: Header format invalid" in ended.err
    assert not holds_canary(ended.err)


async def test_variables_that_the_configuration_uses_too_still_reach_the_sdk(home: Home) -> None:
    """It takes them away from every program that is started from here."""
    upstream = 'r: {base_url: "http://127.0.0.1:9", provider: {type: api_key, keys: "%s"}}'
    async with exporting(
        home, upstream % "${OTEL_SERVICE_NAME}", OTEL_SERVICE_NAME="made-up-name"
    ) as (_, address, collector):
        assert await get(f"{address}/r/a") == 502
        [span] = await collector.has("GET r")
    assert span.resource["service.name"] == "made-up-name"


async def test_a_collector_that_is_down_is_told_of_once(home: Home) -> None:
    async with answering() as upstream:
        home.configure(f"upstreams:\n  {KEYED.format(origin=upstream.origin, more='')}\n")
        nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", **OFTEN}
        async with home.serving(KEY=canary("key"), **nowhere) as proxy:
            address = await proxy.address()
            await proxy.err.shows("OpenTelemetry")
            assert [await get(f"{address}/r/a") for _ in range(30)] == [200] * 30
            await asyncio.sleep(1.0)
            ended = await proxy.stopped()
    assert ended.code == 0
    assert ended.err.count("OpenTelemetry") == 1
    assert "Traceback" not in ended.err


async def test_a_collector_that_never_answers_holds_nothing_up(home: Home) -> None:
    async def hang(peer: Conversation) -> None:
        await peer.reader.read(1)
        await asyncio.sleep(600)

    async with answering() as upstream, conversing(hang) as collector:
        home.configure(f"upstreams:\n  {KEYED.format(origin=upstream.origin, more='')}\n")
        patient = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin, **OFTEN}
        patient["OTEL_EXPORTER_OTLP_TIMEOUT"] = "600"
        async with home.serving(KEY=canary("key"), **patient) as proxy:
            address = await proxy.address()
            assert [await get(f"{address}/r/a") for _ in range(30)] == [200] * 30
            await until(lambda: collector.connections > 0)
            ended = await proxy.stopped()  # which waits for less than a minute
    assert ended.code == 0


async def test_without_the_packages_the_way_to_them_is_told(home: Home) -> None:
    home.configure(
        'upstreams:\n  r: {base_url: "http://127.0.0.1:9", provider: {type: api_key, keys: k}}\n'
    )
    home.program = [
        "-c",
        "import sys; sys.modules['opentelemetry'] = None; from proxy.cli import main; main()",
    ]
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "KEY": canary("key")}
    for workers in ("1", "2"):
        ended = await home.run("run", "--port", "0", "--workers", workers, **variables)
        assert ended.code == 2
        assert "pip install 'sidekey[otel]'" in ended.err
        assert "Traceback" not in ended.err


async def test_nothing_of_it_is_loaded_unless_it_is_asked_for(home: Home) -> None:
    program = """
import sys, proxy.cli.run
from proxy.observe.telemetry import export_of
export_of({"OTEL_SERVICE_NAME": "x"})
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    ended = await home.python(program)
    assert ended.out == "[]\n", ended.err


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "True"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
        },
    ],
)
def test_it_is_off_unless_a_variable_names_a_collector(environ: dict[str, str]) -> None:
    assert export_of(environ) is None


async def test_each_signal_can_have_its_own_collector(home: Home) -> None:
    async with (
        answering() as upstream,
        exporting(
            home, KEYED.format(origin=upstream.origin, more=""), OTEL_METRICS_EXPORTER="none"
        ) as (proxy, address, collector),
    ):
        assert await get(f"{address}/r/a") == 200
        await collector.has("GET r")
        await proxy.stopped()
    assert collector.metrics == {}


def test_a_protocol_that_sidekey_does_not_speak_is_an_error() -> None:
    with pytest.raises(ConfigError, match="http/protobuf"):
        export_of(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        )
