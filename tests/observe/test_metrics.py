"""`/_sidekey/metrics` of a proxy that serves, read by Prometheus's own parser."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest
from canaries import holds_canary
from command_line import Home
from gateway_samples import keyed
from proxying import BEGINNING, Sidekey, sidekey
from raw_upstream import Conversation, answering, conversing, response
from scraping import OPENMETRICS, TEXT, Scrape, parsed, scrape
from token_server import token_server

from proxy import __version__
from proxy.observe.families import STATES

KEYS = BEGINNING + "clients: {keys: canary-client-key}\n"


async def get(proxy: Sidekey, path: str, *, method: str = "GET", count: int = 1) -> list[int]:
    """Ask so many times over one connection, so that most requests can take the fast lane."""
    async with aiohttp.ClientSession() as session:
        statuses = []
        for _ in range(count):
            async with session.request(method, proxy.address + path) as answer:
                await answer.read()
                statuses.append(answer.status)
        return statuses


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
async def test_every_request_is_counted_in_either_format(tmp_path: Path, accept: str) -> None:
    async with (
        answering(lambda request: response(request.target[1:4] + " said", b"ok")) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        await get(proxy, "/r/200?token=1", count=20)
        await get(proxy, "/r/503", count=3)
        await get(proxy, "/r/404", method="POST", count=2)
        found = await scrape(proxy.address, accept)
    total = "sidekey_requests_total"
    assert found.value(total, upstream="r", method="GET", status="200") == 20
    assert found.value(total, upstream="r", method="GET", status="503") == 3
    assert found.value(total, upstream="r", method="POST", status="404") == 2
    assert found.total(total) == 25
    for name in ("sidekey_request_duration_seconds", "sidekey_upstream_duration_seconds"):
        assert found.value(f"{name}_count", upstream="r") == 25
        assert found.value(f"{name}_bucket", upstream="r", le="+Inf") == 25
        assert 0 < found.value(f"{name}_sum", upstream="r") < 25
    assert found.value("sidekey_token_wait_seconds_count", upstream="r") == 0


async def test_both_formats_say_the_same(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        await get(proxy, "/r/a", count=5)
        text, openmetrics = await scrape(proxy.address), await scrape(proxy.address, OPENMETRICS)
    assert text.samples == openmetrics.samples
    assert text.names >= {"sidekey_requests_total", "sidekey_build_info"}


async def test_every_family_says_what_it_is_and_its_labels_are_few(tmp_path: Path) -> None:
    """A path would be a label with as many values as an attacker likes."""
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        await get(proxy, "/r/a")
        await get(proxy, "/nobody/a")
        found = await scrape(proxy.address)
    assert all(name.startswith("sidekey_") for name in found.families)
    for family in found.families.values():
        assert family.documentation.endswith("."), family.name
        assert len(family.documentation) > 15
        assert family.type != "unknown"
    labels = {name for _, labels in found.samples for name, _ in labels}
    assert labels <= {"upstream", "method", "status", "problem", "state", "result", "version", "le"}
    assert found.value("sidekey_build_info", version=__version__) == 1


async def test_what_sidekey_refuses_is_counted_by_problem(tmp_path: Path) -> None:
    more = "deny: [{paths: ['/secret/**']}]"
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        await get(proxy, "/r/secret/a", count=2)
        await get(proxy, "/nobody/a", count=3)
        found = await scrape(proxy.address)
    refused = "sidekey_requests_refused_total"
    assert found.value(refused, upstream="r", problem="not-allowed") == 2
    assert found.value(refused, upstream="", problem="unknown-upstream") == 3
    assert found.total("sidekey_requests_total") == 0


async def test_the_life_of_a_token_can_be_followed(tmp_path: Path) -> None:
    async with (
        token_server() as server,
        sidekey(tmp_path, server.upstreams("r")) as proxy,
    ):
        idle = await scrape(proxy.address)
        await get(proxy, "/r/a", count=3)
        server.revoke()
        assert await get(proxy, "/r/a") == [200]
        found = await scrape(proxy.address)
    state = "sidekey_token_state"
    assert idle.value(state, upstream="r", state="idle") == 1
    assert found.value(state, upstream="r", state="ready") == 1
    for seen in (idle, found):
        assert seen.total(state, upstream="r") == 1
        assert {dict(labels)["state"] for name, labels in seen.samples if name == state} == {
            *STATES
        }
    assert ("sidekey_token_expiry_timestamp_seconds" in idle.names) is False
    expiry = found.value("sidekey_token_expiry_timestamp_seconds", upstream="r")
    renewal = found.value("sidekey_token_next_renewal_timestamp_seconds", upstream="r")
    assert time.time() + 3000 < renewal < expiry <= time.time() + 3600
    assert found.value("sidekey_tokens_acquired_total", upstream="r") == 2
    assert found.value("sidekey_token_acquisition_seconds_count", upstream="r") == 2
    assert found.value("sidekey_credential_rejections_total", upstream="r") == 1
    assert found.value("sidekey_requests_replayed_total", upstream="r") == 1
    assert found.value("sidekey_requests_rejected_total", upstream="r") == 0
    assert found.value("sidekey_token_wait_seconds_count", upstream="r") == 2
    assert found.value("sidekey_token_generation", upstream="r") >= 2
    assert found.value("sidekey_token_attempts_left", upstream="r") == 3


async def test_a_token_endpoint_that_refuses_is_seen(tmp_path: Path) -> None:
    async with (
        token_server() as server,
        sidekey(tmp_path, server.upstreams("r", password="canary-wrong")) as proxy,
    ):
        assert await get(proxy, "/r/a") == [502]
        found = await scrape(proxy.address)
    assert found.value("sidekey_token_failures_total", upstream="r", problem="grant-rejected") == 1
    assert found.value("sidekey_token_state", upstream="r", state="blocked") == 1
    assert found.value("sidekey_token_attempts_left", upstream="r") == 2
    refused = "sidekey_requests_refused_total"
    assert found.value(refused, upstream="r", problem="grant-rejected") == 1


async def test_requests_under_way_are_seen_until_they_end(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def slowly(peer: Conversation) -> None:
        await peer.request()
        await go_on.wait()
        await peer.send(response("200 OK", b"ok"))

    async with (
        conversing(slowly) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        asking = [asyncio.create_task(get(proxy, "/r/a")) for _ in range(3)]
        async with asyncio.timeout(10):
            while upstream.connections < 3:  # noqa: ASYNC110  the upstream tells nobody
                await asyncio.sleep(0.01)
        during = await scrape(proxy.address)
        go_on.set()
        await asyncio.gather(*asking)
        after = await scrape(proxy.address)
    assert during.value("sidekey_requests_in_flight", upstream="r") == 3
    assert after.value("sidekey_requests_in_flight", upstream="r") == 0


async def test_an_upstream_that_cuts_its_answer_is_counted(tmp_path: Path) -> None:
    async def cut(peer: Conversation) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")

    async with conversing(cut) as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        with pytest.raises(aiohttp.ClientError):
            await get(proxy, "/r/a")
        found = await scrape(proxy.address)
    assert found.value("sidekey_requests_aborted_total", upstream="r") == 1
    assert found.total("sidekey_requests_total") == 0


async def test_where_clients_have_keys_a_scraper_needs_one(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=KEYS) as proxy,
        aiohttp.ClientSession() as session,
    ):
        url = f"{proxy.address}/_sidekey/metrics"
        async with session.get(url) as answer:
            assert answer.status == 401
            assert answer.headers["Sidekey-Error"] == "client-key-required"
            assert "sidekey_" not in await answer.text()
        bearer = {"Authorization": "Bearer canary-client-key", "Accept": TEXT}
        async with session.get(url, headers=bearer) as answer:
            assert answer.status == 200
            found = parsed(await answer.text(), answer.headers["Content-Type"])
    refused = "sidekey_requests_refused_total"
    assert found.value(refused, upstream="", problem="client-key-required") == 1


async def test_no_secret_stands_in_a_scrape(tmp_path: Path) -> None:
    async with (
        token_server() as server,
        sidekey(tmp_path, server.upstreams("r"), beginning=KEYS) as proxy,
        aiohttp.ClientSession() as session,
    ):
        bearer = {"Authorization": "Bearer canary-client-key"}
        url = f"{proxy.address}/r/canary-path?key=canary-query"
        async with session.request("CANARY-METHOD", url, headers=bearer) as answer:
            await answer.read()
        async with session.get(url, headers=bearer) as answer:
            assert answer.status == 200
        async with session.get(f"{proxy.address}/_sidekey/metrics", headers=bearer) as answer:
            text = await answer.text()
    assert 'sidekey_requests_total{method="GET",status="200",upstream="r"} 1.0' in text
    assert not holds_canary(text.lower())


async def test_the_page_is_for_reading(tmp_path: Path) -> None:
    async with sidekey(tmp_path, keyed("http://127.0.0.1:9")) as proxy:
        assert await get(proxy, "/_sidekey/metrics", method="HEAD") == [200]
        assert await get(proxy, "/_sidekey/metrics", method="POST") == [405]


async def test_the_library_is_loaded_with_the_first_scrape_only(home: Home) -> None:
    """Idle memory is what many of these proxies are made of."""
    program = "import sys, proxy.cli.run; print('prometheus_client' in sys.modules)"
    ended = await home.python(program)
    assert ended.out == "False\n", ended.err


def test_a_scrape_that_is_empty_would_be_noticed() -> None:
    """Of this file's own reading: a sample that is missing is an error, not a zero."""
    with pytest.raises(KeyError):
        Scrape.of([]).value("sidekey_requests_total")
