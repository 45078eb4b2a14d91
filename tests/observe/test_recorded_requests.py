"""What is shown of requests that are unusual, and how they are sent again."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path
from typing import Any

import pytest
from command_line import until
from gateway_samples import keyed
from pages_client import do, told
from proxying import Sidekey, sidekey
from raw_client import ask, message, raw_client
from raw_upstream import OK, Conversation, answering, conversing, response

from proxy.credentials.redaction import Redaction
from proxy.credentials.secret import Secret
from proxy.events import RequestAborted, RequestForwarded
from proxy.gateway.recorder import CONTENT_LIMIT, Copy, Record, Recorder
from proxy.observe import replay
from proxy.observe.cover import Cover
from proxy.observe.messages import Head, shown_content
from proxy.observe.replay import Replay
from proxy.observe.story import Story
from proxy.observe.trail import Step, Trail
from proxy.refusals import NotAllowed

PATIENCE = 30.0  # seconds until what does not come counts as missing
SECRET = "canary-secret-of-an-answer"
FORWARDED = RequestForwarded("1", "r", "GET", "/r/", 200, 0.1, 0.0, 0.1, False, False, False)


async def latest(proxy: Sidekey) -> Any:
    """Return what is told of the last request in detail."""
    [line, *_] = (await told(proxy, "requests"))["requests"]
    return await told(proxy, f"requests/{line['id']}")


@pytest.mark.parametrize("content", [b"@user hello", b'{"a": "\'"}'])
async def test_a_curl_line_sends_what_curl_would_read_otherwise(
    tmp_path: Path, content: bytes
) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await do(proxy, "recording", {"content": True})
        await ask(proxy, "POST /r/a?ids[]=1&{x,y}", "X-Empty:", content=content)
        line = (await latest(proxy))["curl"]
        curl = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.DEVNULL)
        assert await curl.wait() == 0, line
        first, second = upstream.requests
    assert (second.target, second.content) == (first.target, first.content)
    assert second.field("X-Empty") == [""]


async def test_a_content_that_was_packed_is_left_to_a_file(tmp_path: Path) -> None:
    """curl would send the text, and say that it is packed."""
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await do(proxy, "recording", {"content": True})
        packed = zlib.compress(b"text")
        await ask(proxy, "POST /r/a", "Content-Encoding: deflate", content=packed)
        assert "--data-binary @content" in (await latest(proxy))["curl"]


def test_of_a_packed_content_no_half_of_a_secret_is_shown() -> None:
    """It is cut where it has become too long, which may be in the middle of a secret."""
    text = "a " * ((CONTENT_LIMIT - 10) // 2) + SECRET
    copy = Copy()
    copy.add(zlib.compress(text.encode()))
    head = Head("HTTP/1.1 200 OK", (("Content-Encoding", "deflate"),))
    redaction = Redaction()
    redaction.know(Secret(SECRET))
    shown = shown_content(copy, head, Cover(redaction))
    assert "canary" not in shown["content"]
    assert shown["content_note"] == "cut after 10 KiB"


@pytest.mark.parametrize("is_fast", [True, False])
async def test_a_request_that_was_cut_off_is_shown(tmp_path: Path, is_fast: bool) -> None:
    arrived = asyncio.Event()

    async def half(peer: Conversation) -> None:
        for _ in range(2):  # for the fast lane to know
            await peer.request()
            await peer.send(response("200 OK", b"x"))
        await peer.request()
        arrived.set()
        await peer.reader.read()

    async with (
        conversing(half) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=is_fast) as proxy,
        asyncio.timeout(PATIENCE),
    ):
        async with raw_client(proxy.place) as client:
            for _ in range(2):
                await client.send(message("GET /r/a", host=proxy.host))
                await client.answer()
            await client.send(message("GET /r/a", host=proxy.host))
            await arrived.wait()
        await until(lambda: bool(proxy.told(RequestAborted)))
        details = await latest(proxy)
    assert details["outcome"] == "aborted"
    assert details["request"]["target"] == "/r/a"
    assert details["answer"] is None


@pytest.mark.parametrize("beginning", [b"HTTP/1.1 200 OK\r\n\r\nhalf", b"", OK])
async def test_an_answer_that_does_not_end_in_time_is_cut_off_when_a_request_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(replay, "PATIENCE", 0.3)
    left = asyncio.Event()

    async def endless(peer: Conversation) -> None:
        await peer.request()
        await peer.send(beginning)
        await peer.reader.read()
        left.set()

    async with conversing(endless) as upstream, asyncio.timeout(PATIENCE):
        place = ("127.0.0.1", int(upstream.origin.rpartition(":")[2]))
        sent = await sent_again(place)
        await left.wait()
    assert sent["status"] == (200 if beginning else None)


async def test_a_listener_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="nobody listens there"):
        await sent_again(str(tmp_path / "gone.sock"))


def test_why_a_token_was_renewed_is_told_only_where_that_is_known() -> None:
    """Of the tokens of another worker nobody has told this one."""
    fact = RequestForwarded("1", "r", "GET", "/r/a", 200, 1.0, 0.5, 0.5, True, False, False)
    [waited, _] = Story().of(Step(0.0, fact, is_own=False))
    assert waited == "It waited 0.500 s for a new token."


async def sent_again(place: object) -> dict[str, object]:
    """Send a request again that came to `place`."""
    trail, recorder = Trail(), Recorder()
    trail.observe(FORWARDED)
    recorder.keep("1", Record(b"GET /r/ HTTP/1.1\r\nHost: a\r\n\r\n", b"", place, False))
    return await Replay(trail, recorder).send(trail.steps()[0])
