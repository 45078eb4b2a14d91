"""The fast lane: which requests take it, and what becomes of those that it cannot finish."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from gateway_samples import keyed
from lane_fixtures import GOOD, JSON, Count, request, serving, warm
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import RawClient, message, raw_client
from raw_upstream import OK, Conversation, RawRequest, RawUpstream, answering, conversing, response
from token_server import token_server

from proxy.config import load
from proxy.events import RequestAborted, RequestForwarded
from proxy.gateway import accepted, fast_lane, pool

SHOWN = "Sidekey-Client: shared-by-the-clients"
LARGE = response("200 OK", b"z" * 3_000_000, JSON)


def test_this_aiohttp_has_all_that_the_fast_lane_leans_on() -> None:
    """If this fails after an update: read `fast_lane.py` and `server.py` beside the new aiohttp."""
    assert fast_lane.unsupported() is None
    assert aiohttp.__version__.startswith(fast_lane.AIOHTTP)


@pytest.mark.parametrize("changed", ["version", "part"])
async def test_another_aiohttp_means_the_ordinary_lane(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    if changed == "version":
        monkeypatch.setattr(fast_lane, "AIOHTTP", "99.")
    else:
        monkeypatch.setattr(fast_lane, "INNER_PARTS", ("_gone",))
    assert fast_lane.unsupported() is not None
    async with serving(tmp_path) as (_, proxy, client):
        await warm(client, proxy, times=4)
    assert count.begun == 0


async def test_a_request_that_comes_again_takes_the_fast_lane(tmp_path: Path, count: Count) -> None:
    async with serving(tmp_path) as (upstream, proxy, client):
        await warm(client, proxy, times=5)
        assert count.finished == 4
        assert len({seen.head for seen in upstream.requests}) == 1
        events = proxy.told(RequestForwarded)
        assert len({event.request_id for event in events}) == len(events) == 5
        assert {(event.path, event.status) for event in events} == {("/r/a", 200)}


async def test_without_it_every_request_takes_the_ordinary_lane(
    tmp_path: Path, count: Count
) -> None:
    async with (
        answering(GOOD) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=False) as proxy,
        raw_client(proxy.place) as client,
    ):
        await warm(client, proxy, times=5)
    assert count.begun == 0


async def test_another_target_with_the_same_head_takes_it_too(tmp_path: Path, count: Count) -> None:
    async with serving(tmp_path) as (upstream, proxy, client):
        await warm(client, proxy)
        before = count.finished
        for target in ("/r/b", "/r/c?x=1", "/r/", "/r/d%20e"):
            await client.send(request(proxy, f"GET {target}"))
            assert (await client.answer()).status == 200
            assert upstream.last.target == target.removeprefix("/r")
        assert count.finished == before + 4


async def test_content_that_comes_with_its_head_takes_it(tmp_path: Path, count: Count) -> None:
    async with serving(tmp_path) as (upstream, proxy, client):
        for content in (b"one", b"two", b"six"):
            await client.send(request(proxy, "POST /r/a", JSON, content=content))
            assert (await client.answer()).status == 200
            assert upstream.last.content == content
        assert count.finished == 2


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("GET /r/../a", (), 400),
        ("GET /r/deny", (), 403),
        ("GET /nobody/a", (), 404),
        ("GET /r/a", ("Origin: https://evil.example",), 403),
        ("GET /r/a", ("Via: 1.1 somebody",), 403),
        ("PURGE /r/a", (), 405),
    ],
)
async def test_what_is_refused_is_refused_on_a_warm_connection(
    tmp_path: Path, line: str, fields: tuple[str, ...], status: int
) -> None:
    more = 'deny: [{paths: ["/deny"]}]'
    async with serving(tmp_path, more=more) as (upstream, proxy, client):
        await warm(client, proxy, times=3)
        for _ in range(2):
            async with raw_client(proxy.place) as another:
                await warm(another, proxy)
                await another.send(request(proxy, line, *fields))
                assert (await another.answer()).status == status
        assert all(seen.target == "/a" for seen in upstream.requests)


async def test_own_pages_are_ours_under_the_name_of_an_upstream_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as (upstream, proxy, client):
        host = f"r.localhost:{proxy.port}"
        for _ in range(3):
            await client.send(message("GET /a", host=host))
            assert (await client.answer()).status == 200
        await client.send(message("GET /_sidekey/healthz", host=host))
        assert (await client.answer()).content != b"{}"
        assert len(upstream.requests) == 3


async def test_a_date_that_goes_on_changes_nothing_else(tmp_path: Path, count: Count) -> None:
    dates = [f"Date: Sun, 29 Nov 2026 02:52:{second:02} GMT" for second in range(10, 16)]
    answers = [response("200 OK", b"{}", JSON, date) for date in dates]
    async with serving(tmp_path, *answers) as (_, proxy, client):
        for date in dates:
            await client.send(request(proxy))
            assert (await client.answer()).field("Date") == [date.removeprefix("Date: ")]
        assert count.finished == 5


async def test_an_unknown_head_of_an_answer_goes_through_the_ordinary_lane(
    tmp_path: Path, count: Count
) -> None:
    answers = [response("200 OK", b"{}", f"X-Number: {number}") for number in range(5)]
    async with serving(tmp_path, *answers) as (upstream, proxy, client):
        for number in range(5):
            await client.send(request(proxy))
            assert (await client.answer()).field("X-Number") == [str(number)]
        assert (count.begun, count.finished) == (4, 0)
        assert (len(upstream.requests), upstream.connections) == (5, 1)


async def test_an_answer_in_pieces_arrives_whole(tmp_path: Path, count: Count) -> None:
    async def converse(peer: Conversation) -> None:
        while True:
            await peer.request()
            for place in range(0, len(GOOD), 7):
                await peer.send(GOOD[place : place + 7])
                await asyncio.sleep(0.001)

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=True) as proxy,
        raw_client(proxy.place) as client,
    ):
        for _ in range(4):
            await client.send(request(proxy))
            answer = await client.answer()
            assert (answer.content, answer.ended) == (b"{}", True)
    assert count.begun >= 1


async def test_large_answers_are_passed_on_as_they_come(tmp_path: Path, count: Count) -> None:
    async with serving(tmp_path, LARGE) as (_, proxy, client):
        for _ in range(3):
            await client.send(request(proxy))
            answer = await client.answer()
            assert (len(answer.content), answer.ended) == (3_000_000, True)
        assert count.finished == 2


async def test_a_slow_reader_makes_the_upstream_wait(tmp_path: Path) -> None:
    sent = 0

    async def converse(peer: Conversation) -> None:
        nonlocal sent
        head, content = LARGE[: LARGE.index(b"\r\n\r\n") + 4], b"z" * 1_000_000
        head = head.replace(b"3000000", b"64000000")
        while True:
            request = await peer.request()
            length = 64 if request.target == "/large" else 0
            await peer.send(head if length else GOOD)
            for _ in range(length):
                await peer.send(content)
                sent += len(content)

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=True) as proxy,
        raw_client(proxy.place) as first,
    ):
        await first.send(request(proxy, "GET /r/large"))
        assert len((await first.answer()).content) == 64_000_000
        sent = 0
        async with raw_client(proxy.place) as client:
            await warm(client, proxy)
            client.writer.transport.pause_reading()
            await client.send(request(proxy, "GET /r/large"))
            await asyncio.sleep(1)
            assert sent < 40_000_000, "it piles up"
            client.writer.transport.resume_reading()
            assert len((await client.answer()).content) == 64_000_000


async def test_who_sends_the_next_request_early_gets_both_answers(tmp_path: Path) -> None:
    async def converse(peer: Conversation) -> None:
        while True:
            request = await peer.request()
            await asyncio.sleep(0.05)
            await peer.send(response("200 OK", request.target.encode(), JSON))

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=True) as proxy,
        raw_client(proxy.place) as client,
    ):
        await warm(client, proxy)
        for targets in (("b", "c"), ("d", "e"), ("f", "g")):
            for target in targets:
                await client.send(request(proxy, f"GET /r/{target}"))
                await asyncio.sleep(0.01)
            for target in targets:
                assert (await client.answer()).content == f"/{target}".encode()


async def test_who_sends_more_while_a_large_answer_comes_gets_both(tmp_path: Path) -> None:
    async with serving(tmp_path, LARGE) as (_, proxy, client):
        await client.send(request(proxy))
        await client.answer()
        client.writer.transport.pause_reading()
        await client.send(request(proxy))
        await asyncio.sleep(0.1)
        await client.send(request(proxy, "GET /r/b") + request(proxy, "GET /r/c"))
        await asyncio.sleep(0.1)
        client.writer.transport.resume_reading()
        for _ in range(3):
            assert len((await client.answer()).content) == 3_000_000


async def test_the_parser_is_not_asked_about_what_it_did_not_read(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would cost every request of the fast lane some microseconds."""
    async with serving(tmp_path) as (upstream, proxy, client):
        await warm(client, proxy)
        monkeypatch.setattr(pool, "PROBE", b"that would end the connection")
        begun = count.finished
        await warm(client, proxy, times=3)
        assert (count.finished, upstream.connections) == (begun + 3, 1)


async def test_when_the_client_leaves_the_upstreams_connection_ends(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        while (await peer.request()).target != "/hangs":
            await peer.send(GOOD)
        await peer.reader.read()
        left.set()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=True) as proxy,
    ):
        async with raw_client(proxy.place) as client:
            await warm(client, proxy)
            await client.send(request(proxy, "GET /r/hangs"))
            await asyncio.sleep(0.05)
            client.leave()
            async with asyncio.timeout(5):
                await left.wait()
        (event,) = proxy.told(RequestAborted)
        assert event.path == "/r/hangs"


async def test_an_upstream_that_takes_long_has_the_time_of_the_configuration(
    tmp_path: Path, count: Count
) -> None:
    async def converse(peer: Conversation) -> None:
        while (await peer.request()).target != "/hangs":
            await peer.send(GOOD)
        await peer.reader.read()

    more = "timeouts: {read: 0.5s}"
    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more), is_fast=True) as proxy,
        raw_client(proxy.place) as client,
    ):
        await warm(client, proxy)
        before = count.begun
        await client.send(request(proxy, "GET /r/hangs"))
        assert (await client.answer()).field("Sidekey-Error") == ["upstream-timeout"]
        assert count.begun == before + 1


async def test_a_connection_that_was_closed_while_idle_is_replaced(
    tmp_path: Path, count: Count
) -> None:
    """The upstream ends it at the moment at which the request is sent."""

    async def converse(peer: Conversation) -> None:
        for _ in range(2):
            await peer.request()
            await peer.send(GOOD)
        await peer.request()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=True) as proxy,
        raw_client(proxy.place) as client,
    ):
        await warm(client, proxy, times=2)
        await client.send(request(proxy))
        assert (await client.answer()).status == 200
        await client.send(request(proxy, "POST /r/a", content=b"x"))
        assert (await client.answer()).status == 200
        assert upstream.connections == 2
    assert count.begun >= 2


@pytest.mark.parametrize("content", [b"z" * 100, b"z" * 500_000])
async def test_an_upstream_that_breaks_off_cuts_the_client(tmp_path: Path, content: bytes) -> None:
    whole = response("200 OK", content, JSON)

    async def converse(peer: Conversation) -> None:
        while True:
            request = await peer.request()
            half = request.target == "/half"
            await peer.send(whole[: -len(content) // 3] if half else whole)
            if half:
                return

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=True) as proxy,
        raw_client(proxy.place) as client,
    ):
        await warm(client, proxy)
        await client.send(request(proxy, "GET /r/half"))
        assert not (await client.answer()).ended
        await asyncio.sleep(0.05)
        assert len(proxy.told(RequestAborted)) == 1


async def test_more_than_was_announced_ends_the_upstreams_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, GOOD, GOOD, GOOD + b"surplus", GOOD) as (upstream, proxy, client):
        statuses = []
        for _ in range(4):
            await client.send(request(proxy))
            statuses.append((await client.answer()).status)
        assert statuses == [200, 200, 502, 200]  # as in the ordinary lane
        assert upstream.connections == 2


async def test_a_rejected_token_is_renewed_and_the_request_sent_again(
    tmp_path: Path, count: Count
) -> None:
    async with (
        token_server() as server,
        sidekey(tmp_path, server.upstreams("r"), is_fast=True) as proxy,
        raw_client(proxy.place) as client,
    ):
        await warm(client, proxy, times=4)
        assert count.finished == 3
        server.revoke()
        await warm(client, proxy, times=4)
        assert server.calls == {"sign-in": 1, "renewal": 1}
        (replayed,) = [event for event in proxy.told(RequestForwarded) if event.replayed]
        assert replayed.status == 200
        assert server.rejected == 1
        assert count.finished == 3 + 3 - 1  # the first two of the new token teach its head


async def test_nothing_that_was_accepted_outlives_a_reload(tmp_path: Path) -> None:
    async with answering(GOOD) as upstream:
        text = keyed(upstream.origin)
        async with (
            sidekey(tmp_path, text, is_fast=True) as proxy,
            raw_client(proxy.place) as client,
        ):
            await warm(client, proxy, times=3)
            path = tmp_path / "sidekey.yaml"
            path.write_text("clients: {keys: phantom-key-of-the-client}\n" + path.read_text())
            proxy.running.change(load(path, environ={}).settings)
            seen = len(upstream.requests)
            for _ in range(3):
                await client.send(request(proxy))
                assert (await client.answer()).field("Sidekey-Error") == ["client-key-required"]
            assert len(upstream.requests) == seen
            for _ in range(3):
                shown = "Authorization: Bearer phantom-key-of-the-client"
                await client.send(request(proxy, "GET /r/a", shown))
                assert (await client.answer()).status == 200


@asynccontextmanager
async def asking_for_a_header(
    folder: Path,
) -> AsyncIterator[tuple[RawUpstream, Sidekey, RawClient]]:
    """Serve `r` to those who send the field `SHOWN`."""
    beginning = f"{BEGINNING}clients: {{header: {{value: shared-by-the-clients}}}}\n"
    async with (
        answering(GOOD) as upstream,
        sidekey(folder, keyed(upstream.origin), beginning=beginning, is_fast=True) as proxy,
        raw_client(proxy.place) as client,
    ):
        yield upstream, proxy, client


async def test_a_stranger_leaves_nothing_in_what_the_fast_lane_knows(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At so many entries all are forgotten: a stranger could have it forget at will."""
    monkeypatch.setattr(accepted, "ENTRIES", 4)
    async with asking_for_a_header(tmp_path) as (_, proxy, client):
        for number in range(12):
            await client.send(request(proxy, "GET /r/a", f"X-Any: {number}"))
            assert (await client.answer()).status == 412
            await client.send(request(proxy, "GET /r/a", SHOWN))
            assert (await client.answer()).status == 200
        assert count.finished == 11


async def test_the_lane_of_who_shows_the_shared_header_is_closed_to_others(
    tmp_path: Path, count: Count
) -> None:
    async with asking_for_a_header(tmp_path) as (upstream, proxy, client):
        for _ in range(3):
            for fields, status in (((), 412), ((SHOWN,), 200)):
                await client.send(request(proxy, "GET /r/a", *fields))
                assert (await client.answer()).status == status
        assert count.finished > 0
        assert len(upstream.requests) == 3


@pytest.mark.parametrize(
    "more",
    [
        "inject: [{in: query, name: key}]",
        'inject: [{in: header, name: X-Key, paths: ["/a"]}]',
        "limits: {rate: 1000/s}",
        "limits: {concurrency: 10}",
        "redact: content",
        "client_credential: pass",
    ],
)
async def test_what_depends_on_more_than_the_head_takes_the_ordinary_lane(
    tmp_path: Path, count: Count, more: str
) -> None:
    async with serving(tmp_path, more=more) as (_, proxy, client):
        await warm(client, proxy, times=3)
    assert count.begun == 0


async def test_a_client_that_reads_no_answers_is_left_to_the_ordinary_lane(
    tmp_path: Path, count: Count
) -> None:
    """It knows how to wait: what the fast lane writes would pile up."""
    answer = response("200 OK", b"z" * 60_000, JSON)
    async with serving(tmp_path, answer) as (upstream, proxy, client):
        await warm(client, proxy)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.writer.transport.pause_reading()
        for _ in range(400):
            client.writer.write(request(proxy))
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.2)
        assert len(upstream.requests) < 300


async def test_a_stop_lets_a_large_answer_end(tmp_path: Path) -> None:
    async with answering(LARGE) as upstream:
        proxying = sidekey(tmp_path, keyed(upstream.origin), is_fast=True)
        proxy = await proxying.__aenter__()
        async with raw_client(proxy.place) as client:
            await client.send(request(proxy))
            await client.answer()
            client.writer.transport.pause_reading()
            await client.send(request(proxy))
            await asyncio.sleep(0.1)
            stopping = asyncio.create_task(proxying.__aexit__(None, None, None))
            await asyncio.sleep(0.2)
            client.writer.transport.resume_reading()
            answer = await client.answer()
            await stopping
        assert (len(answer.content), answer.ended) == (3_000_000, True)


async def test_ordinary_answers_look_the_same(tmp_path: Path) -> None:
    heads = set()
    for is_fast in (True, False):
        folder = tmp_path / str(is_fast)
        folder.mkdir()
        async with (
            answering(OK) as upstream,
            sidekey(folder, keyed(upstream.origin), is_fast=is_fast) as proxy,
            raw_client(proxy.place) as client,
        ):
            for _ in range(3):
                await client.send(request(proxy))
                heads.add((await client.answer()).head)
            assert isinstance(upstream.last, RawRequest)
    assert len(heads) == 1
