"""What must not be mistaken where one lane ends and the other begins."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from gateway_samples import keyed
from lane_fixtures import GOOD, JSON, Count, request, serving, warm
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import chunked, message, raw_client
from raw_upstream import Conversation, Converse, answering, conversing, response

from proxy.config import load
from proxy.gateway.server import ClientConnection

KEY = "phantom-key-of-the-client"
KEYS = f"{BEGINNING}clients: {{keys: {KEY}}}\n"
SHOWN = f"Authorization: Bearer {KEY}"
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


async def test_empty_lines_before_a_request_teach_nothing(tmp_path: Path) -> None:
    async with (
        answering(GOOD) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=KEYS, is_fast=True) as proxy,
        raw_client(proxy.place) as owner,
        raw_client(proxy.place) as stranger,
    ):
        await owner.send(b"\r\n\r\n" + request(proxy, "GET /r/a", SHOWN))
        assert (await owner.answer()).status == 200
        await stranger.send(request(proxy))
        assert (await stranger.answer()).status == 401
        await stranger.send(b"GET /r/secret HTTP/1.1\r\n\r\n")
        assert (await stranger.answer()).status == 400
        assert len(upstream.requests) == 1


async def test_the_rest_of_a_head_is_no_head(tmp_path: Path) -> None:
    async with (
        answering(GOOD) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=KEYS, is_fast=True) as proxy,
        raw_client(proxy.place) as owner,
        raw_client(proxy.place) as stranger,
    ):
        whole = request(proxy, "GET /r/a", SHOWN)
        await owner.send(whole + f"GET /r/b HTTP/1.1\r\n{SHOWN}\r\nX-Of: own".encode())
        assert (await owner.answer()).status == 200
        rest = f"er\r\nHost: {proxy.host}\r\n\r\n".encode()
        await owner.send(rest)
        assert (await owner.answer()).status == 200
        for _ in range(2):
            await stranger.send(b"GET /r/secret HTTP/1.1" + rest[2:])
            assert (await stranger.answer()).status == 401


async def test_the_rest_of_a_head_is_no_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as (upstream, proxy, client):
        whole = request(proxy)
        await warm(client, proxy)
        await client.send(whole + b"GET /r/b HTTP/1.1\r\nX: ")
        await client.answer()
        await client.send(whole)  # the rest of /r/b
        await client.answer()
        assert upstream.last.target == "/b"


async def test_the_rest_of_some_content_is_no_request(tmp_path: Path, count: Count) -> None:
    async with serving(tmp_path) as (upstream, proxy, client):
        await warm(client, proxy)
        inner = request(proxy)
        await client.send(request(proxy, "POST /r/b", f"Content-Length: {len(inner)}"))
        await asyncio.sleep(0.05)
        await client.send(inner)
        assert (await client.answer()).status == 200
        assert (len(upstream.requests), upstream.last.content) == (3, inner)
        begun = count.begun
        await client.send(request(proxy))  # the end of the content was plain to see
        assert (await client.answer()).status == 200
        assert count.begun == begun + 1


@pytest.mark.parametrize(
    "rest", [b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\nX-Trailer: a\r\n\r\n"]
)
async def test_behind_chunks_nothing_takes_the_fast_lane(
    tmp_path: Path, count: Count, rest: bytes
) -> None:
    async with serving(tmp_path) as (_, proxy, client):
        await client.send(
            request(proxy, "POST /r/b", "Transfer-Encoding: chunked") + chunked(b"abc")
        )
        assert (await client.answer()).status == 200
        await warm(client, proxy, times=3)
    assert count.begun == 0


async def test_who_shows_no_key_is_refused_whatever_came_behind_an_upgrade(tmp_path: Path) -> None:
    async with (
        answering(GOOD) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=KEYS, is_fast=True) as proxy,
        raw_client(proxy.place) as owner,
        raw_client(proxy.place) as stranger,
    ):
        refused = message("GET /r/a", *UPGRADE, host=proxy.host)  # no key
        await owner.send(refused + request(proxy, "GET /r/a", SHOWN))
        statuses = [(await owner.answer()).status for _ in range(2)]
        assert statuses == [401, 200]
        seen = len(upstream.requests)
        for _ in range(2):
            await stranger.send(message("GET /r/secret", *UPGRADE, host=proxy.host))
            answer = await stranger.answer()
            assert answer.status == 401, upstream.last.head
        assert len(upstream.requests) == seen


@pytest.mark.parametrize("is_fast", [True, False])
async def test_pages_are_refused_whatever_came_behind_an_upgrade(
    tmp_path: Path, is_fast: bool
) -> None:
    async with (
        answering(GOOD) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=is_fast) as proxy,
        raw_client(proxy.place) as first,
        raw_client(proxy.place) as another,
    ):
        fields = (*UPGRADE, "Origin: https://evil.example")
        await first.send(message("GET /r/a", *fields, host=proxy.host) + request(proxy))
        assert [(await first.answer()).status for _ in range(2)] == [403, 200]
        await another.send(request(proxy))
        assert (await another.answer()).status == 200
        await another.send(message("GET /r/secret", *fields, host=proxy.host))
        assert (await another.answer()).status == 403, upstream.last.head


def talking(word: bytes, arrived: list[str]) -> Converse:
    """Return an upstream that says `word`, and takes its time for some targets."""

    async def converse(peer: Conversation) -> None:
        while True:
            asked = await peer.request()
            arrived.append(asked.target)
            await asyncio.sleep({"/slow": 0.6, "/slower": 2}.get(asked.target, 0))
            await peer.send(response("200 OK", word, JSON))

    return converse


def reloaded(folder: Path, proxy: Sidekey, old: str, new: str) -> None:
    path = folder / "sidekey.yaml"
    text = path.read_text().replace(old, new)
    path.write_text(text.replace("canary-key-1", "canary-key-of-the-new-one"))
    proxy.running.change(load(path, environ={}).settings)


async def test_after_a_reload_no_connection_is_taken_for_one_to_the_new_upstream(
    tmp_path: Path,
) -> None:
    olds: list[str] = []
    news: list[str] = []
    async with (
        conversing(talking(b"old", olds)) as old,
        conversing(talking(b"new", news)) as new,
        sidekey(tmp_path, keyed(old.origin), is_fast=True) as proxy,
        raw_client(proxy.place) as client,
        raw_client(proxy.place) as another,
    ):
        await another.send(request(proxy, "GET /r/slower"))  # the old upstream stays in use
        await warm(client, proxy)
        await client.send(request(proxy, "GET /r/slow"))
        await asyncio.sleep(0.1)
        reloaded(tmp_path, proxy, old.origin, new.origin)
        assert (await client.answer()).content == b"old"
        before = len(olds)
        await client.send(request(proxy))
        assert (await client.answer()).content == b"new"
        assert (len(olds), news) == (before, ["/a"])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_reload_breaks_no_request_that_changes_its_lane(
    tmp_path: Path, method: str
) -> None:
    olds: list[str] = []
    async with (
        conversing(talking(b"old", olds)) as old,
        conversing(talking(b"new", [])) as new,
        sidekey(tmp_path, keyed(old.origin), is_fast=True) as proxy,
        raw_client(proxy.place) as client,
    ):
        for _ in range(2):
            await client.send(request(proxy, f"{method} /r/a"))
            await client.answer()
        await client.send(request(proxy, f"{method} /r/slow"))
        await asyncio.sleep(0.1)
        reloaded(tmp_path, proxy, old.origin, new.origin)
        answer = await client.answer()
        assert (answer.status, answer.content) == (200, b"old")
        assert olds.count("/slow") == 1


@pytest.mark.parametrize("is_fast", [False, True])
@pytest.mark.parametrize("seconds", [0.6, 3.3])
@pytest.mark.parametrize("before", [0, 200_000])
async def test_an_answer_under_way_has_5_seconds_at_a_stop(
    tmp_path: Path, before: int, seconds: float, is_fast: bool
) -> None:
    """`before`: bytes of it that have come when the proxy is told to stop."""
    whole = response("200 OK", b"z" * 300_000, JSON)

    async def converse(peer: Conversation) -> None:
        while True:
            asked = await peer.request()
            await peer.send(whole[:before])
            await asyncio.sleep(seconds if asked.target == "/slow" else 0)
            await peer.send(whole[before:])

    async with conversing(converse) as upstream:
        proxying = sidekey(tmp_path, keyed(upstream.origin), is_fast=is_fast)
        proxy = await proxying.__aenter__()
        async with raw_client(proxy.place) as client:
            await warm(client, proxy)
            await client.send(request(proxy, "GET /r/slow"))
            await asyncio.sleep(0.1)
            stopping = asyncio.create_task(proxying.__aexit__(None, None, None))
            answer = await client.answer()
            await stopping
        assert (answer.status, len(answer.content), answer.ended) == (200, 300_000, True)


@pytest.mark.parametrize("is_fast", [True, False])
async def test_who_never_takes_the_end_of_an_answer_loses_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    """Little waits then, so that nothing else would tell: the transport holds less than is much."""
    left: list[int] = []
    lost = asyncio.Event()
    note_end(monkeypatch, left, lost, is_fast=is_fast)
    beginning = "listen: {port: 0, timeouts: {send: 1s}}\nstore: {type: memory}\n"
    async with (
        answering(response("200 OK", b"z" * 30_000, JSON)) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=beginning, is_fast=is_fast) as proxy,
        raw_client(proxy.place) as client,
    ):
        await warm(client, proxy)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.writer.transport.pause_reading()
        while not left or not left[-1]:
            answered = len(left)
            client.writer.write(request(proxy))
            async with asyncio.timeout(10):
                while len(left) == answered:  # noqa: ASYNC110  it ends with the answer
                    await asyncio.sleep(0.002)
        assert left[-1] < 64 * 1024
        async with asyncio.timeout(10):
            await lost.wait()


def note_end(
    monkeypatch: pytest.MonkeyPatch, left: list[int], lost: asyncio.Event, *, is_fast: bool
) -> None:
    """Note how much waits at the end of each answer, and the end of a connection."""
    losing = ClientConnection.connection_lost

    def connection_lost(connection: ClientConnection, error: BaseException | None) -> None:
        losing(connection, error)
        lost.set()

    def noted(end: Callable[..., object]) -> Callable[..., object]:
        def ended(connection: ClientConnection, *arguments: object) -> object:
            assert connection._wire is not None
            left.append(connection._wire.get_write_buffer_size())
            return end(connection, *arguments)

        return ended

    name = "end_at_once" if is_fast else "finish_response"
    monkeypatch.setattr(ClientConnection, "connection_lost", connection_lost)
    monkeypatch.setattr(ClientConnection, name, noted(getattr(ClientConnection, name)))


async def test_a_head_that_may_end_earlier_for_another_parser_teaches_nothing(
    tmp_path: Path, count: Count
) -> None:
    content = b"ab\r\n\r\n" + b"z" * 70_000
    odd = b"HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: %d\n\n" % len(content)
    async with serving(tmp_path, odd + content) as (_, proxy, client):
        for _ in range(4):
            await client.send(request(proxy))
            answer = await client.answer()
            assert answer.ended
            assert answer.content == content or answer.status == 502  # in development mode
    assert count.finished == 0


async def test_an_answer_that_ended_its_connection_teaches_no_other_to_end(tmp_path: Path) -> None:
    """It came before the content: the client's connection could not go on."""

    async def converse(peer: Conversation) -> None:
        while True:
            head = await peer.head()
            await peer.send(GOOD)
            await peer.content(head)

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), is_fast=True) as proxy,
    ):
        async with raw_client(proxy.place) as client:
            await client.send(message("POST /r/a", "Content-Length: 4", host=proxy.host))
            assert (await client.answer()).field("Connection") == ["close"]
        async with raw_client(proxy.place) as client:
            for _ in range(4):
                await client.send(request(proxy))
                assert (await client.answer()).field("Connection") == []
