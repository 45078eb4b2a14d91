"""Token endpoints that are down, slow, busy or speak nonsense."""

from __future__ import annotations

import asyncio
import traceback
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from clocks import Clock
from proxying import BEGINNING, sidekey
from raw_client import ask
from raw_upstream import json_response, response
from sources import Make, cut_off, tended
from token_server import CUT_BEFORE, HANG, TokenServer, token_server

from proxy import app
from proxy.credentials import source as source_module
from proxy.credentials.backoff import SPAN, TRIES, Backoff
from proxy.credentials.exchange import ANSWER_LIMIT
from proxy.credentials.source import PATIENCE
from proxy.credentials.stores.file import FileStore
from proxy.errors import SidekeyError, TokenEndpointUnreachable, TokenPending
from proxy.events import Event, TokenFailed
from proxy.observe.status import status_of

DOWN = response("503 Service Unavailable")


@pytest.mark.case("T04")
async def test_an_endpoint_that_fails_is_asked_at_growing_intervals_until_it_recovers(
    make: Make, server: TokenServer, clock: Clock
) -> None:
    events: list[Event] = []
    source = make(server.provider(), events=events)
    server.faults = [DOWN] * 5
    for _ in range(40):
        with pytest.raises(TokenEndpointUnreachable) as caught:
            await source.token()
        assert 0 <= caught.value.retry_after <= 60
        clock.move(seconds=1)
        if not server.faults:
            break
    assert [event.retry_in for event in events if isinstance(event, TokenFailed)] == [
        1,
        2,
        4,
        8,
        16,
    ]
    clock.move(seconds=16)
    assert (await source.token()).value
    assert source.failure is None


@pytest.mark.case("T04", "T22")
@pytest.mark.parametrize("luck", [0.0, 0.3, 1.0])
async def test_whatever_chance_says_six_tries_a_minute_are_the_most(luck: float) -> None:
    backoff = Backoff(lambda shortest, longest: shortest + luck * (longest - shortest))
    now, tries = 1000.0, []
    while now < 2000.0:
        if now >= backoff.again_at:
            tries.append(now)
            backoff.failed(now)
        now += 0.05
    for first, seventh in zip(tries, tries[TRIES:], strict=False):
        assert seventh - first >= SPAN
    assert tries[1] - tries[0] <= 1.1, "the first try again comes soon"


@pytest.mark.case("T22")
@pytest.mark.parametrize("fault", [DOWN, CUT_BEFORE, response("200 OK", b"<html>")])
async def test_while_everything_fails_requests_cause_six_calls_a_minute_at_most(
    make: Make, server: TokenServer, clock: Clock, fault: object
) -> None:
    server.fault = lambda: fault
    asked: list[float] = []
    source = make(server.provider())
    for _ in range(600):
        before = server.asked
        with pytest.raises(TokenEndpointUnreachable):
            await source.token()
        asked += [clock.seconds] * (server.asked - before)
        clock.move(seconds=0.5)
    assert len(asked) > 6
    for first, seventh in zip(asked, asked[TRIES:], strict=False):
        assert seventh - first >= SPAN


@pytest.mark.case("T05")
async def test_an_endpoint_that_hangs_costs_10_seconds_a_request_and_one_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PATIENCE == 10.0
    monkeypatch.setattr(app, "build_source", partial(app.build_source, patience=0.3))
    async with (
        token_server(fault=lambda: HANG) as server,
        sidekey(tmp_path, server.upstreams("r"), beginning=BEGINNING) as proxy,
    ):
        answers = await asyncio.gather(*(ask(proxy, "GET /r/a") for _ in range(20)))
        again = await ask(proxy, "GET /r/a")
        assert server.asked == 1
        cut_off(proxy.source("r"))  # or the end would wait for it
    for answer in (*answers, again):
        assert (answer.status, answer.field("Sidekey-Error")) == (503, ["token-pending"])
        assert int(answer.field("Retry-After")[0]) >= 1


async def test_a_token_that_comes_late_is_used_all_the_same(
    make: Make, server: TokenServer
) -> None:
    """Who gives up on a renewal that rotates loses what the answer would have brought."""
    server.faults = [0.4]
    source = make(server.provider(), patience=0.05)
    with pytest.raises(TokenPending):
        await source.token()
    await source.settle()
    assert (await source.token()).value
    assert server.calls == {"sign-in": 1}


NONSENSE = {
    "garbage": b"canary{",
    "HTML": b"<html>please sign in</html>",
    "a list": b"[]",
    "null": b"null",
    "an empty object": b"{}",
    "an error that says 200": b'{"error": "invalid_grant", "access_token": "canary-t"}',
    "a number": b'{"access_token": 7}',
    "an empty text": b'{"access_token": ""}',
    "a line break": b'{"access_token": "canary\\nSet-Cookie: a"}',
    "a space": b'{"access_token": "canary t"}',
    "17 KiB": b'{"access_token": "' + b"x" * 17 * 1024 + b'"}',
    "nothing": b"",
}


@pytest.mark.case("T06")
@pytest.mark.parametrize("content", NONSENSE.values(), ids=NONSENSE)
async def test_what_is_no_token_is_a_failure_and_never_handed_out(
    make: Make, server: TokenServer, content: bytes
) -> None:
    server.faults = [json_response("200 OK", content)]
    with pytest.raises(SidekeyError) as caught:
        await make(server.provider()).token()
    assert caught.value.slug in ("grant-rejected", "token-endpoint-unreachable")
    assert "canary" not in f"{caught.value.detail} {caught.value.fix}"


@pytest.mark.case("T06")
async def test_of_an_answer_without_end_little_is_read(make: Make, server: TokenServer) -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b" " * (4 * ANSWER_LIMIT)
    server.faults = [endless]
    with pytest.raises(TokenEndpointUnreachable, match=f"more than {ANSWER_LIMIT} bytes"):
        await make(server.provider()).token()


@pytest.mark.case("T12")
async def test_while_an_endpoint_rests_news_from_the_store_are_no_reason_to_ask_it(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """A store that has been away has news all the time."""
    source = make(server.provider(), store=FileStore(folder))
    server.fault = lambda: response("503 Busy")
    with pytest.raises(TokenEndpointUnreachable):
        await source.token()
    for number in range(10):
        source._version = number
        with pytest.raises(TokenEndpointUnreachable):
            await source.token()
    assert server.asked == 1


async def test_what_another_process_has_got_meanwhile_is_used_at_once(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    source = make(server.provider(), store=FileStore(folder))
    server.faults = [response("503 Busy")]
    with pytest.raises(TokenEndpointUnreachable):
        await source.token()
    token = await make(server.provider(), store=FileStore(folder)).token()
    assert await source.token() == token
    assert server.asked == 2


async def test_a_failure_that_is_told_again_and_again_collects_no_memory(
    make: Make, server: TokenServer
) -> None:
    """Raising one exception object again adds frames to it each time."""
    server.fault = lambda: response("503 Busy")
    source = make(server.provider())
    lengths = set()
    for _ in range(5):
        with pytest.raises(TokenEndpointUnreachable) as caught:
            await source.token()
        lengths.add(len(list(traceback.walk_tb(caught.value.__traceback__))))
    assert len(lengths) == 1


async def test_the_next_renewal_is_not_told_for_a_moment_when_the_endpoint_rests(
    make: Make, server: TokenServer, clock: Clock
) -> None:
    source = make(server.provider())
    await source.token()
    server.fault = lambda: response("503 Busy", b"", "Retry-After: 200")
    clock.move(minutes=57)
    await source.token()
    await source.settle()
    clock.move(seconds=100)
    assert (await status_of(source)).next_renewal == clock() + timedelta(seconds=100)


async def test_retry_after_is_heeded(make: Make, server: TokenServer, clock: Clock) -> None:
    server.faults = [response("429 Too Many Requests", b"", "Retry-After: 90")]
    source = make(server.provider())
    for _ in range(89):
        with pytest.raises(TokenEndpointUnreachable):
            await source.token()
        clock.move(seconds=1)
    assert server.asked == 1
    clock.move(seconds=1)
    assert (await source.token()).value


@pytest.mark.case("T12")
async def test_retry_after_of_more_than_an_hour_is_an_hour(
    make: Make, server: TokenServer, clock: Clock
) -> None:
    server.faults = [response("503 Busy", b"", "Retry-After: 1000000")]
    source = make(server.provider())
    with pytest.raises(TokenEndpointUnreachable):
        await source.token()
    clock.move(hours=1)
    assert (await source.token()).value


@pytest.mark.case("T13")
@pytest.mark.parametrize("fault", [DOWN, CUT_BEFORE, response("200 OK", b"<html>")])
async def test_while_an_endpoint_is_down_every_request_is_served_until_the_token_expires(
    make: Make, server: TokenServer, clock: Clock, fault: object
) -> None:
    source = make(server.provider())
    first = await source.token()
    server.fault = lambda: fault
    for _ in range(3599):
        clock.move(seconds=1)
        source.tend()
        assert await source.token() == first
    clock.move(seconds=1)
    with pytest.raises(TokenEndpointUnreachable):
        await source.token()
    server.fault = lambda: None
    clock.move(minutes=1)
    assert await source.token() != first


@pytest.mark.case("T13")
async def test_an_endpoint_that_hangs_does_not_hold_up_who_has_a_token(
    make: Make, server: TokenServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "BRIEFLY", 0.05)
    source = make(server.provider())
    first = await source.token()
    server.fault = lambda: HANG
    clock.move(minutes=56)
    assert await source.token() == first
    clock.move(minutes=3, seconds=50)
    assert await source.token() == first
    await source.close(0.05)


async def test_a_proxy_starts_though_no_token_endpoint_can_be_reached(tmp_path: Path) -> None:
    async with token_server() as server:
        upstreams = server.upstreams("r")
    async with sidekey(tmp_path, upstreams, beginning=BEGINNING) as proxy:
        answer = await ask(proxy, "GET /r/a")
        ready = await ask(proxy, "GET /_sidekey/readyz")
        healthy = await ask(proxy, "GET /_sidekey/healthz")
    assert (answer.status, answer.field("Sidekey-Error")) == (502, ["token-endpoint-unreachable"])
    assert (healthy.status, ready.status) == (200, 503)
    [status] = ready.json()["upstreams"]
    assert (status["state"], status["attempts_left"]) == ("failed", 3)
    assert "no connection" in status["error"]


@pytest.mark.case("T22")
async def test_an_idle_proxy_asks_nobody(make: Make, server: TokenServer, clock: Clock) -> None:
    source = make(server.provider())
    await source.token()
    for _ in range(48):
        clock.move(hours=1)
        await tended(source)
    assert server.calls == {"sign-in": 1}
