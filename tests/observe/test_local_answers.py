"""What is told of a request that sidekey answers itself: as much as of any other one."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from command_line import until
from event_samples import ANSWERED, FORWARDED
from gateway_samples import KEY, keyed
from issuing import REJECTION
from lane_fixtures import Count, request, warm
from pages_client import JSON, do, told
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import ask, message, raw_client
from raw_upstream import RawUpstream, answering
from scraping import scrape

from proxy.credentials.redaction import Redaction
from proxy.events import RequestAborted, RequestAnswered, RequestForwarded
from proxy.gateway import content
from proxy.gateway.local_answer import LocalResponse
from proxy.observe.logs import configure, log_observer
from proxy.observe.measures import Measures
from proxy.observe.sharing import Board, Sharing
from proxy.observe.trail import Trail

RULES = (
    "local_answers:\n"
    "- {methods: [GET], paths: [/ping], status: 204, json: {}}\n"
    "- {paths: [/login], json: {idToken: sidekey-placeholder, note: 名}}"
)
IN_FLIGHT = "sidekey_requests_in_flight"
PHANTOM = "canary-of-a-phantom-key"
BOTH_LANES = pytest.mark.parametrize("is_fast", [True, False], ids=["fast lane", "ordinary lane"])


@asynccontextmanager
async def proxying(folder: Path, **options: Any) -> AsyncIterator[tuple[RawUpstream, Sidekey]]:
    """Serve an upstream `r` whose login is answered here."""
    async with (
        answering() as upstream,
        sidekey(folder, keyed(upstream.origin, more=RULES), **options) as proxy,
    ):
        yield upstream, proxy


async def latest(proxy: Sidekey, *fields: str) -> Any:
    """Return what is told of the last request in detail."""
    [line, *_] = (await told(proxy, "requests", *fields))["requests"]
    return await told(proxy, f"requests/{line['id']}", *fields)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a log would hold that is no terminal."""
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising
    logging.captureWarnings(False)
    structlog.reset_defaults()


@BOTH_LANES
async def test_a_local_answer_has_its_line_in_the_log(
    tmp_path: Path, log: io.StringIO, *, is_fast: bool
) -> None:
    observe = log_observer(configure(log, redaction=Redaction()))
    async with (
        proxying(tmp_path, is_fast=is_fast, observe=observe) as (upstream, proxy),
        raw_client(proxy.place) as client,
    ):
        for line in ("GET /r/a", "GET /r/a", "POST /r/login?password=x", "GET /r/a"):
            length = ("Content-Length: 0",) if line.startswith("POST") else ()
            await client.send(request(proxy, line, *length))
            assert (await client.answer()).status == 200
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    requests = [line for line in lines if line["event"].startswith("request.")]
    assert [line["event"] for line in requests] == [
        *["request.forwarded"] * 2, "request.answered", "request.forwarded",
    ]  # fmt: skip
    said = {name: requests[2][name] for name in requests[2].keys() - {"request_id", "seconds"}}
    del said["timestamp"]
    assert said == {
        "event": "request.answered",
        "level": "info",
        "upstream": "r",
        "method": "POST",
        "path": "/r/login",
        "status": 200,
        "rule": "upstreams.r.local_answers[1]",
    }
    assert len(upstream.requests) == 3


@BOTH_LANES
async def test_a_local_answer_is_listed_and_says_who_gave_it(
    tmp_path: Path, *, is_fast: bool
) -> None:
    async with proxying(tmp_path, is_fast=is_fast) as (upstream, proxy):
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        sent = b'{"password": "x"}'
        answer = await ask(proxy, "POST /r/login", JSON, f"traceparent: {trace}", content=sent)
        details = await latest(proxy)
        [event] = proxy.told(RequestAnswered)
    assert upstream.requests == []
    assert isinstance(event, RequestAnswered)
    assert (event.trace, event.request_id) == (trace, details["id"])
    assert (details["outcome"], details["status"], details["problem"]) == ("answered", 200, None)
    assert (details["method"], details["upstream"], details["path"]) == ("POST", "r", "/r/login")
    assert details["token_seconds"] is details["upstream_seconds"] is None
    assert 0 < details["seconds"] < 60
    assert details["story"] == [
        "sidekey answered it itself with 200, as upstreams.r.local_answers[1] says.",
        "The upstream has not seen it, and no token was needed.",
    ]
    assert details["answer"]["fields"] == [list(field) for field in answer.fields]
    assert ["Content-Type", "application/json"] in details["request"]["fields"]
    assert details["request"]["content_note"] == "not recorded"


@BOTH_LANES
async def test_heads_of_local_answers_hold_no_secret(tmp_path: Path, *, is_fast: bool) -> None:
    beginning = f"{BEGINNING}clients: {{keys: {PHANTOM}}}\n"
    shown = f"Authorization: Bearer {PHANTOM}"
    async with proxying(tmp_path, is_fast=is_fast, beginning=beginning) as (_upstream, proxy):
        refused = await ask(proxy, "POST /r/login", "Content-Length: 0")
        line = f"POST /r/login?refreshtoken=canary-of-the-client&a={KEY}"
        members = {"password": "canary-of-the-client", "note": KEY, "again": f"it is {PHANTOM}"}
        content = json.dumps(members).encode()
        await ask(proxy, line, JSON, shown, f"X-Note: {KEY}", content=content)
        details = await latest(proxy, shown)
        await do(proxy, "recording", {"content": True}, shown)
        await ask(proxy, line, JSON, shown, f"X-Note: {KEY}", content=content)
        recorded = await latest(proxy, shown)
    assert refused.status == 401
    assert len(proxy.told(RequestAnswered)) == 2
    for one in (details, recorded):
        assert one["request"]["target"] == "/r/login?refreshtoken=***&a=***"
        assert ["Authorization", "***"] in one["request"]["fields"]
        assert ["X-Note", "***"] in one["request"]["fields"]
        assert "canary" not in json.dumps(one)
    assert details["request"]["content"] is None
    assert json.loads(recorded["request"]["content"]) == {
        "password": "***", "note": "***", "again": "it is ***",
    }  # fmt: skip


async def test_a_content_that_is_recorded_is_sent_again_and_answered_here_again(
    tmp_path: Path,
) -> None:
    content = b'{"user": "me"}'
    async with proxying(tmp_path) as (upstream, proxy):
        await do(proxy, "recording", {"content": True})
        async with raw_client(proxy.place) as client:  # as most libraries do: the head comes first
            head = message("POST /r/login", JSON, "Content-Length: 14", host=proxy.host)
            await client.send(head)
            await asyncio.sleep(0.05)
            await client.send(content)
            answer = await client.answer()
        details = await latest(proxy)
        again = (await do(proxy, f"requests/{details['id']}/replay")).json()
        repeated = await told(proxy, f"requests/{again['id']}")
    assert answer.field("Connection") == []
    assert details["request"]["content"] == content.decode()
    assert json.loads(details["answer"]["content"]) == {"idToken": "***", "note": "名"}
    assert again["status"] == 200
    assert again["id"] != details["id"]
    assert (repeated["outcome"], repeated["request"]["content"]) == ("answered", content.decode())
    assert upstream.requests == []


async def test_a_local_answer_whose_content_was_not_recorded_is_not_repeated(
    tmp_path: Path,
) -> None:
    async with proxying(tmp_path) as (_upstream, proxy):
        await ask(proxy, "GET /r/ping")
        ping = await latest(proxy)
        await ask(proxy, "POST /r/login", content=b"x")
        login = await latest(proxy)
        refused = await do(proxy, f"requests/{login['id']}/replay")
    assert (ping["replayable"], ping["curl"]) == (True, f"curl -i {proxy.url('r')}/ping")
    assert (login["replayable"], login["why_not"]) == (False, "its content was not recorded")
    assert login["curl"] == f"curl -i --data-binary @content {proxy.url('r')}/login"
    assert refused.status == 403


@pytest.mark.parametrize(("line", "content"), [("HEAD /r/a", b""), ("GET /r/a", b'{"a": 1}')])
async def test_an_answer_without_content_is_recorded_without_one(
    tmp_path: Path, line: str, content: bytes
) -> None:
    rule = "local_answers: [{methods: [GET, HEAD], paths: [/a], json: {a: 1}}]"
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=rule)) as proxy,
    ):
        await do(proxy, "recording", {"content": True})
        answer = await ask(proxy, line)
        details = await latest(proxy)
    assert (answer.status, answer.content) == (200, content)
    assert (details["answer"]["content"] or "").encode() == content


async def test_a_local_answer_does_not_wait_for_content_that_nobody_records(
    tmp_path: Path,
) -> None:
    async with proxying(tmp_path) as (_upstream, proxy), raw_client(proxy.place) as client:
        await client.send(message("POST /r/login", "Content-Length: 9", host=proxy.host))
        async with asyncio.timeout(30):
            answer = await client.answer()
        details = await latest(proxy)
    assert (answer.status, answer.field("Connection")) == (200, ["close"])
    assert ["Connection", "close"] in details["answer"]["fields"]


@pytest.mark.parametrize(
    ("field", "content", "status"),
    [
        ("Content-Length: 9", b"", 200),
        ("Transfer-Encoding: chunked", b"40\r\n" + b"x" * 64 + b"\r\n0\r\n\r\n", 200),
        ("Transfer-Encoding: chunked", b"no chunk\r\n", 400),
        ("Transfer-Encoding: chunked", (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 4, 200),
    ],
    ids=["never comes", "too large", "malformed", "never ends"],
)
@pytest.mark.parametrize("is_recorded", [False, True], ids=["not recorded", "recorded"])
async def test_whoever_records_contents_changes_no_local_answer(
    tmp_path: Path, field: str, content: bytes, status: int, *, is_recorded: bool
) -> None:
    more = f"limits: {{content: 20}}\n{RULES}"
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
        raw_client(proxy.place) as client,
    ):
        await do(proxy, "recording", {"content": is_recorded})
        await client.send(message("POST /r/login", field, host=proxy.host) + content)
        async with asyncio.timeout(20):  # `content` of `listen.timeouts` would be 30
            assert (await client.answer()).status == status


async def test_a_client_that_leaves_before_its_content_is_told_as_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "COPY_PATIENCE", 60.0)
    async with proxying(tmp_path) as (_upstream, proxy):
        await do(proxy, "recording", {"content": True})
        async with raw_client(proxy.place) as client:
            await client.send(message("POST /r/login", "Content-Length: 9", host=proxy.host))
            async with asyncio.timeout(10):
                while not (await scrape(proxy.address)).value(IN_FLIGHT, upstream="r"):
                    pass  # the scrape takes its time
        await until(lambda: bool(proxy.told(RequestAborted)))
        assert proxy.told(RequestAnswered) == []


async def test_an_answer_that_cannot_be_written_is_told_as_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A timer of the connection may end it at any moment."""
    prepare = LocalResponse.prepare

    async def late(response: LocalResponse, request: web.BaseRequest) -> Any:
        assert request.transport is not None
        request.transport.abort()
        return await prepare(response, request)

    monkeypatch.setattr(LocalResponse, "prepare", late)
    async with proxying(tmp_path) as (_upstream, proxy):
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await ask(proxy, "POST /r/login", "Content-Length: 0")
        [event] = proxy.told(RequestAborted)
        assert proxy.told(RequestAnswered) == []
    assert isinstance(event, RequestAborted)
    assert (event.path, event.reason) == ("/r/login", "the client left")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@BOTH_LANES
async def test_local_answers_are_counted_apart_and_are_no_latency(
    tmp_path: Path, *, is_fast: bool
) -> None:
    async with proxying(tmp_path, is_fast=is_fast) as (_upstream, proxy):
        await ask(proxy, "GET /r/a")
        before = await scrape(proxy.address)
        for _ in range(3):
            await ask(proxy, "GET /r/ping")
        after = await scrape(proxy.address)
        [point] = (await told(proxy, "series"))["points"][-1:]
    changed = {key for key, value in after.samples.items() if before.samples.get(key) != value}
    assert changed == {("sidekey_requests_answered_locally_total", frozenset({("upstream", "r")}))}
    assert after.value("sidekey_requests_answered_locally_total", upstream="r") == 3
    assert (point["requests"], point["errors"]) == (4, 0)


async def test_the_fast_lane_goes_on_beside_local_answers(tmp_path: Path, count: Count) -> None:
    async with (
        proxying(tmp_path, is_fast=True) as (upstream, proxy),
        raw_client(proxy.place) as client,
    ):
        await warm(client, proxy)
        for _ in range(3):
            await client.send(request(proxy, "GET /r/ping"))
            assert (await client.answer()).status == 204
            await client.send(request(proxy))
            assert (await client.answer()).status == 200
    assert (count.begun, count.finished) == (4, 4)  # all but the first one
    assert len(proxy.told(RequestAnswered)) == 3
    assert len(proxy.told(RequestForwarded)) == len(upstream.requests) == 5


async def test_a_local_answer_does_not_hide_that_the_credential_is_no_good(tmp_path: Path) -> None:
    """A client that is rejected logs in again, at once."""
    async with (
        answering(REJECTION) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=RULES)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
        await ask(proxy, "POST /r/login", "Content-Length: 0")
        [card] = (await told(proxy, "overview"))["upstreams"]
    assert card["problem"] == "credential-rejected"


def test_other_workers_learn_of_local_answers() -> None:
    board = Board(2)
    sharing = Sharing(board, 0)
    trail, measures = Trail(sharing), Measures(sharing)
    for event in (ANSWERED, FORWARDED):
        trail.observe(event)
        measures.observe(event)
    sharing.tell()
    others = Sharing(board, 1)
    other = Trail(others)
    other.look()
    assert [step.fact for step in other.steps()] == [FORWARDED, ANSWERED]
    others_measures = Measures(others)
    others_measures.observe(ANSWERED)
    assert others_measures.whole().upstreams["r"].answered == 2
