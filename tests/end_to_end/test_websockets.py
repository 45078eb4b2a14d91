"""Upgraded connections, with real peers on both sides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from socket import create_server

import aiohttp
import pytest
from gateway_samples import BEARER, keyed, protected, tokened
from issuing import Issuer
from proxying import Sidekey, sidekey
from raw_client import ask, message, raw_client
from raw_upstream import Conversation, conversing, response
from websocket_samples import ACCEPT, HANDSHAKE, SWITCHED
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve as serve_sandbox


@asynccontextmanager
async def joined(
    tmp_path: Path,
    talk: Callable[[ServerConnection], Awaitable[None]],
    **options: object,
) -> AsyncIterator[str]:
    """Serve `talk` with `websockets` behind the proxy, and yield the URL at the proxy."""
    async with serve(talk, "127.0.0.1", 0, max_size=None, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with sidekey(tmp_path, keyed(f"http://127.0.0.1:{port}")) as proxy:
            yield proxy.url("r", "/stream?a=%2B").replace("http", "ws", 1)


async def echo(socket: ServerConnection) -> None:
    async for frame in socket:
        await socket.send(frame)


def ws_url(proxy: Sidekey, rest: str) -> str:
    return proxy.address.replace("http", "ws", 1) + rest


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_messages_pass_both_ways_in_every_size_and_kind(
    tmp_path: Path, compression: str | None
) -> None:
    """permessage-deflate is agreed on by the two peers, and nobody in between looks."""
    async with (
        joined(tmp_path, echo, compression=compression) as url,
        connect(url, compression=compression, max_size=None, proxy=None) as client,
    ):
        assert bool(client.protocol.extensions) == (compression == "deflate")
        for frame in ("text ü", b"\x00\xff", "", b"x" * 2**20, "y" * 2**20):
            await client.send(frame)
            assert await client.recv() == frame


async def test_the_handshake_carries_path_query_and_credential(tmp_path: Path) -> None:
    heads: list[tuple[str, list[str]]] = []

    async def look(socket: ServerConnection) -> None:
        assert socket.request is not None
        heads.append((socket.request.path, socket.request.headers.get_all("Authorization")))

    dummy = {"Authorization": "Bearer dummy"}
    async with (
        joined(tmp_path, look) as url,
        connect(url, proxy=None, additional_headers=dummy) as client,
    ):
        await client.wait_closed()
    assert heads == [("/stream?a=%2B", [BEARER])]


async def test_aiohttp_is_a_client_too(tmp_path: Path) -> None:
    async with (
        joined(tmp_path, echo) as url,
        aiohttp.ClientSession() as session,
        session.ws_connect(url, compress=15) as client,
    ):
        await client.send_str("hello")
        assert await client.receive_str() == "hello"


async def test_the_proxy_stops_in_time_although_websockets_are_open_on_every_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that takes over 10 s is killed."""
    monkeypatch.setattr("proxy.listeners.DRAIN", 2.0)
    with create_server(("127.0.0.1", 0)) as free:
        own_port = free.getsockname()[1]
    async with AsyncExitStack() as stack, serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        text = keyed(f"http://127.0.0.1:{port}", more=f"port: {own_port}")
        proxy = await stack.enter_async_context(sidekey(tmp_path, text))
        clients = [
            await connect(ws_url(proxy, "/r/"), proxy=None),
            await connect(f"ws://127.0.0.1:{own_port}/", proxy=None),
        ]
        async with asyncio.timeout(3.9):  # two listeners, one after the other, take 4
            await stack.aclose()
        for client in clients:
            await client.wait_closed()


async def test_a_silent_connection_outlives_the_read_timeout(tmp_path: Path) -> None:
    """`timeouts.read` ends answers that stall; a stream may be silent for hours."""
    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        text = keyed(f"http://127.0.0.1:{port}", more="timeouts: {read: 100ms}")
        async with (
            sidekey(tmp_path, text) as proxy,
            connect(ws_url(proxy, "/r/"), proxy=None) as client,
        ):
            await asyncio.sleep(0.3)
            await client.send("still there")
            assert await client.recv() == "still there"


async def test_bytes_sent_right_behind_the_handshake_are_not_lost(tmp_path: Path) -> None:
    received = asyncio.Queue[bytes]()

    async def converse(peer: Conversation) -> None:
        await peer.head()
        await peer.send(SWITCHED + b"early from the upstream")
        received.put_nowait(await peer.reader.readexactly(21))

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        request = message("GET /r/a", *HANDSHAKE, host=f"127.0.0.1:{proxy.port}")
        await client.send(request + b"early from the client")
        assert await client.head() == SWITCHED.replace(
            b"Upgrade: websocket\r\nConnection: Upgrade\r\n" + ACCEPT,
            ACCEPT + b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        )
        assert await client.reader.readexactly(23) == b"early from the upstream"
        assert await received.get() == b"early from the client"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nX-A: 1\r\n\r\n",
        response("400 Bad Request", b"Missing version", "Content-Type: text/plain"),
        response("302 Found", b"", "Location: https://elsewhere.example/"),
    ],
)
async def test_a_refused_handshake_is_a_plain_answer(tmp_path: Path, answer: bytes) -> None:
    async def converse(peer: Conversation) -> None:
        await peer.head()
        await peer.send(answer)

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(message("GET /r/a", *HANDSHAKE, host=f"127.0.0.1:{proxy.port}"))
        got = await client.answer()
    lines = got.head.replace(b"Transfer-Encoding: chunked\r\n", b"")
    assert lines + got.content == protected(answer)


async def test_a_401_at_the_handshake_renews_and_asks_once_more(tmp_path: Path) -> None:
    """Surprise 12: the refusal is a bare head, without Content-Length."""
    issuer = Issuer(answer=SWITCHED, rejection=b"HTTP/1.1 401 Unauthorized\r\n\r\n")

    async def converse(peer: Conversation) -> None:
        request = await peer.request()
        answer = issuer(request)
        await peer.send(answer)
        if answer is SWITCHED:
            await peer.send(await peer.reader.readexactly(4))

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        await proxy.source("r").token()
        issuer.revoke()
        await client.send(message("GET /r/a", *HANDSHAKE, host=f"127.0.0.1:{proxy.port}"))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        await client.send(b"ping")
        assert await client.reader.readexactly(4) == b"ping"
    assert issuer.issued == 2


@pytest.mark.parametrize("version", ["2025.11.1", "13.13.2"])
async def test_misskeys_stream_opens_with_either_place_of_the_token(
    tmp_path: Path, version: str
) -> None:
    """Surprise 15: 13.13 reads `i` in the query, later ones the header; the client sends none."""
    misskey = MisskeySandbox(version)
    async with serve_sandbox(misskey.application()) as origin:
        token = misskey.issue_token(["read:account", "write:notes"])
        text = f"m:\n  preset: misskey-token\n  base_url: {origin}\n  provider: {{token: {token}}}"
        async with (
            sidekey(tmp_path, text) as proxy,
            connect(ws_url(proxy, "/m/streaming?i=dummy&_t=1"), proxy=None) as client,
        ):
            body = {"channel": "homeTimeline", "id": "1", "pong": True}
            await client.send(json.dumps({"type": "connect", "body": body}))
            assert json.loads(await client.recv())["type"] == "connected"
            fields = "Content-Type: application/json"
            await ask(proxy, "POST /m/api/notes/create", fields, content=b'{"text":"hello"}')
            note = json.loads(await client.recv())
            assert note["body"]["body"]["text"] == "hello"
    handshake = misskey.requests[0]
    assert handshake.target == f"/streaming?_t=1&i={token}"
    assert ("Authorization", f"Bearer {token}") in handshake.headers


async def test_misskeys_401_at_the_handshake_reaches_the_client_without_hanging(
    tmp_path: Path,
) -> None:
    """Surprise 12."""
    misskey = MisskeySandbox()
    async with serve_sandbox(misskey.application()) as origin:
        text = f"m:\n  preset: misskey-token\n  base_url: {origin}\n  provider: {{token: dead}}"
        async with sidekey(tmp_path, text) as proxy:
            with pytest.raises(InvalidStatus) as refused:
                await connect(ws_url(proxy, "/m/streaming"), proxy=None)
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["Sidekey-Error"] == "credential-rejected"
    assert "Bearer" in refused.value.response.headers["WWW-Authenticate"]
