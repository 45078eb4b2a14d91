"""Rate, concurrency and size of content, as `limits` grants them to one upstream."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from clocks import Clock
from gateway_samples import keyed
from hypothesis import given
from hypothesis import strategies as st
from proxying import Sidekey, sidekey
from raw_client import RawClient, ask, check_problem, chunked, message, raw_client
from raw_upstream import OK, Conversation, answering, conversing
from websocket_samples import HANDSHAKE, SWITCHED

from proxy.config import models
from proxy.gateway.limits import Limits
from proxy.refusals import ContentTooLarge, RateLimited, TooManyRequests


def passes(limits: Limits) -> bool:
    try:
        with limits.admitted():
            return True
    except RateLimited:
        return False


def test_a_burst_passes_at_once_and_then_one_request_each_interval(clock: Clock) -> None:
    limits = Limits(models.Limits(rate="30/m", burst=3), clock.monotonic)
    assert [passes(limits) for _ in range(5)] == [True, True, True, False, False]
    for _ in range(10):
        clock.move(seconds=1.9)
        assert not passes(limits)
        clock.move(seconds=0.1)
        assert [passes(limits), passes(limits)] == [True, False]
    clock.move(hours=1)
    assert [passes(limits) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(("rate", "burst"), [("10/s", 10), ("150/m", 2), ("20/m", 1), ("5/h", 1)])
def test_without_a_burst_the_requests_of_one_second_pass_at_once(
    clock: Clock, rate: str, burst: int
) -> None:
    limits = Limits(models.Limits(rate=rate), clock.monotonic)
    assert [passes(limits) for _ in range(burst + 1)] == [True] * burst + [False]


def test_a_refused_request_hears_when_the_next_one_passes(clock: Clock) -> None:
    limits = Limits(models.Limits(rate="30/m", burst=1), clock.monotonic)
    assert passes(limits)
    clock.move(seconds=0.5)
    with pytest.raises(RateLimited) as refused, limits.admitted():
        pass
    assert refused.value.retry_after == pytest.approx(1.5)


@given(
    rate=st.integers(1, 500),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 3), max_size=60),
)
def test_no_span_of_time_sees_more_than_the_burst_and_the_rate(
    rate: int, burst: int, gaps: list[float]
) -> None:
    clock = Clock()
    limits = Limits(models.Limits(rate=f"{rate}/m", burst=burst), clock.monotonic)
    passed = []
    for gap in gaps:
        clock.seconds += gap
        if passes(limits):
            passed.append(clock.seconds)
    for (i, first), (j, last) in itertools.combinations(enumerate(passed), 2):
        assert j - i + 1 <= burst + (last - first) * rate / 60 + 0.001


def test_what_is_refused_uses_up_nothing(clock: Clock) -> None:
    limits = Limits(models.Limits(rate="1/h", concurrency=1, content=10), clock.monotonic)
    with pytest.raises(ContentTooLarge):
        limits.check_length(11)
    limits.check_length(10)
    with pytest.raises(ZeroDivisionError), limits.admitted():
        raise ZeroDivisionError
    clock.move(hours=1)
    with limits.admitted(), pytest.raises(TooManyRequests), limits.admitted():
        pass
    with pytest.raises(RateLimited), limits.admitted():
        pass
    clock.move(hours=1)
    assert passes(limits)


async def test_over_the_rate_is_429_and_reaches_no_upstream(tmp_path: Path) -> None:
    more = "limits: {rate: 1/h, burst: 2}"
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin, more=more)) as p:
        assert [(await ask(p, "GET /r/a")).status for _ in range(2)] == [200, 200]
        refused = await ask(p, "GET /r/a")
    check_problem(refused, 429, "rate-limited")
    (seconds,) = refused.field("Retry-After")
    assert 1 < int(seconds) <= 3600
    assert len(upstream.requests) == 2


async def test_denied_and_local_answers_do_not_count(tmp_path: Path) -> None:
    more = """
limits: {rate: 1/h}
deny: [{paths: [/denied]}]
local_answers: [{methods: [GET], paths: [/local], json: {}}]
"""
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin, more=more)) as p:
        for path, status in (("denied", 403), ("local", 200), ("denied", 403), ("local", 200)):
            assert (await ask(p, f"GET /r/{path}")).status == status
        assert (await ask(p, "GET /r/a")).status == 200
        assert (await ask(p, "GET /r/local")).status == 200


@asynccontextmanager
async def one_at_a_time(
    tmp_path: Path, answer: bytes
) -> AsyncIterator[tuple[Sidekey, RawClient, Conversation]]:
    """One request is under way when the block begins; the upstream has not answered it."""
    arrived: asyncio.Future[Conversation] = asyncio.get_running_loop().create_future()
    ended = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        if arrived.done():
            await peer.send(OK)
            return
        arrived.set_result(peer)
        await ended.wait()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more="limits: {concurrency: 1}")) as proxy,
        raw_client(proxy.port) as client,
    ):
        fields = HANDSHAKE if b" 101 " in answer else ()
        await client.send(message("GET /r/a", *fields, host=f"127.0.0.1:{proxy.port}"))
        peer = await arrived
        await peer.send(answer)
        if answer:
            await client.head()
        yield proxy, client, peer
        ended.set()


async def freed(proxy: Sidekey) -> bool:
    """Ask until a request is let through again."""
    status = 503
    while status == 503:
        status = (await ask(proxy, "GET /r/b")).status
    return status == 200


STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


@pytest.mark.parametrize("answer", [b"", STREAM, SWITCHED], ids=["waits", "stream", "websocket"])
@pytest.mark.parametrize("ending", ["client", "upstream"])
async def test_over_the_concurrency_is_503_until_one_has_ended(
    tmp_path: Path, answer: bytes, ending: str
) -> None:
    """However it ends: the client leaves, or the upstream does."""
    async with one_at_a_time(tmp_path, answer) as (proxy, client, peer):
        refused = await ask(proxy, "GET /r/b")
        check_problem(refused, 503, "too-many-requests")
        assert refused.field("Retry-After") == ["1"]
        client.leave() if ending == "client" else peer.reset()
        assert await freed(proxy)


async def test_an_answer_that_ended_frees_its_place(tmp_path: Path) -> None:
    more = "limits: {concurrency: 1}"
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin, more=more)) as p:
        assert [(await ask(p, "GET /r/a")).status for _ in range(5)] == [200] * 5


async def test_declared_content_over_the_limit_is_413_at_once(tmp_path: Path) -> None:
    more = "limits: {content: 10}"
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
        raw_client(proxy.port) as client,
    ):
        assert (await ask(proxy, "POST /r/a", content=b"x" * 10)).status == 200
        fields = ("Expect: 100-continue", "Content-Length: 11")
        await client.send(message("POST /r/a", *fields, host=f"127.0.0.1:{proxy.port}"))
        answer = await client.answer()
    check_problem(answer, 413, "content-too-large")
    assert answer.field("Connection") == ["close"]
    assert len(upstream.requests) == 1


async def test_chunks_over_the_limit_are_413_and_never_end_properly_upstream(
    tmp_path: Path,
) -> None:
    more = "limits: {content: 10}"
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin, more=more)) as p:
        fields = ("Transfer-Encoding: chunked",)
        within = await ask(p, "POST /r/a", *fields, content=chunked(b"x" * 4, b"x" * 6))
        over = await ask(p, "POST /r/a", *fields, content=chunked(b"x" * 4, b"x" * 7))
    assert within.status == 200
    check_problem(over, 413, "content-too-large")
    assert [request.content for request in upstream.requests] == [b"x" * 10]


async def test_content_that_a_credential_goes_into_has_the_limit_too(tmp_path: Path) -> None:
    more = "limits: {content: 10}\ninject: {in: body, name: i}"
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin, more=more)) as p:
        fields = ("Transfer-Encoding: chunked", "Content-Type: application/json")
        answer = await ask(p, "POST /r/a", *fields, content=chunked(b'{"a":', b'"bcdef"}'))
    check_problem(answer, 413, "content-too-large")
    assert upstream.connections == 0
