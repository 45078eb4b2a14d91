"""Websockets: a checked handshake, and then a tunnel that changes nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from hostile_fixtures import ON_TCP, Attack
from hostile_harness import TOKEN_PATH, Hostile
from raw_client import RawClient, message
from raw_upstream import OK, response
from strict_upstream import StrictRequest
from websocket_samples import HANDSHAKE, KEY, SWITCHED, VERSION, frame
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
TEXT, CLOSE, PING = 1, 8, 9


@asynccontextmanager
async def tunnel(hostile: Hostile, path: str = "/r/a") -> AsyncIterator[RawClient]:
    """Open a websocket to the strict upstream, which sends back what it gets."""
    with hostile.upstream.answering(SWITCHED):
        async with hostile.connect() as client:
            await client.send(message(f"GET {path}", *HANDSHAKE, host=hostile.proxy.host))
            assert b" 101 " in await client.head()
            yield client


async def echoed(client: RawClient, sent: bytes) -> bytes:
    await client.send(sent)
    return await client.reader.readexactly(len(sent))


@pytest.mark.case("W01")
async def test_a_page_of_another_origin_cannot_open_a_websocket(hostile: Hostile) -> None:
    """Surprise 20: no CORS holds for websockets, so every page could listen to the stream."""
    with hostile.upstream.answering(SWITCHED):
        for fields in (
            ("Origin: https://evil.example",),
            ("Origin: null",),
            ("Origin: http://localhost:3000", "Sec-Fetch-Site: same-site"),
            ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: websocket"),
        ):
            for path in ("/r/a", "/t/a", "/_sidekey/status"):
                answer = await hostile.ask(f"GET {path}", *HANDSHAKE, *fields)
                hostile.check_refused(answer, 403, "cross-site-refused")
        for host in ("evil.example", "localhost.evil.example"):
            answer = await hostile.ask("GET /r/a", *HANDSHAKE, host=host)
            hostile.check_refused(answer, 421, "host-refused")


@pytest.mark.case("W02")
async def test_a_program_opens_a_websocket_with_our_credential(hostile: Hostile) -> None:
    for path, route in (("/r/a?x=1", "r"), ("/q/a?x=1", "q")):
        async with tunnel(hostile, path) as client:
            assert await echoed(client, frame(TEXT, b"hello")) == frame(TEXT, b"hello")
        assert hostile.arrived[-1].path == f"{hostile.bases[route]}/a"
        assert hostile.arrived[-1].field("Sec-WebSocket-Key") == [KEY.partition(" ")[2]]


@pytest.mark.case("W03")
@pytest.mark.parametrize(
    "fields",
    [
        (VERSION,),
        (VERSION, KEY, KEY),
        (VERSION, KEY, KEY.replace("dGhl", "eGhl")),
        (VERSION, "Sec-WebSocket-Key: "),
        (VERSION, "Sec-WebSocket-Key: dGhl"),
        (VERSION, KEY[:-2]),
        (VERSION, f"{KEY}, x"),
        (KEY,),
        (KEY, "Sec-WebSocket-Version: 12"),
        (KEY, "Sec-WebSocket-Version: 013"),
        (KEY, "Sec-WebSocket-Version: 8, 13"),
        (KEY, VERSION, VERSION),
        (KEY, VERSION, "Content-Length: 5"),
        (KEY, VERSION, "Transfer-Encoding: chunked"),
    ],
)
async def test_a_malformed_handshake_is_400(hostile: Hostile, fields: tuple[str, ...]) -> None:
    """Who takes it for an ordinary request would read the frames as requests."""
    with hostile.upstream.answering(SWITCHED):
        request = message("GET /r/a", *UPGRADE, *fields, host=hostile.proxy.host)
        answer = await hostile.send(request + b"0\r\n\r\n")
    hostile.check_refused(answer, 400, "bad-message")


@pytest.mark.case("W03")
async def test_a_handshake_is_a_get_in_http_1_1(hostile: Hostile) -> None:
    with hostile.upstream.answering(SWITCHED):
        for line in ("POST /r/a HTTP/1.1", "HEAD /r/a HTTP/1.1", "GET /r/a HTTP/1.0"):
            fields = "\r\n".join([f"Host: {hostile.proxy.host}", *HANDSHAKE])
            answer = await hostile.send(f"{line}\r\n{fields}\r\n\r\n".encode(), line[:4])
            hostile.check_refused(answer, 400, "bad-message")


@pytest.mark.case("W04")
async def test_a_refused_handshake_is_an_answer_with_its_status(hostile: Hostile) -> None:
    for status in ("200 OK", "400 Bad Request", "403 Forbidden", "426 Upgrade Required", "503 No"):
        refusal = response(status, b"no", "Content-Type: text/plain", "X-A: 1")
        with hostile.upstream.answering(refusal):
            answer = await hostile.ask("GET /r/a", *HANDSHAKE)
        assert f"{answer.status} " == status[:4]
        assert (answer.content, answer.field("X-A"), answer.ended) == (b"no", ["1"], True)


@contextmanager
def refusing(hostile: Hostile, refused: list[str]) -> Iterator[None]:
    """Let the issuer's API refuse the tokens in `refused`."""
    before = hostile.issuer.answer

    def answer(request: StrictRequest) -> bytes:
        if request.target == TOKEN_PATH:
            return before(request)
        if request.field("Authorization")[0].removeprefix("Bearer ") in refused:
            return response("401 Unauthorized")
        return SWITCHED if request.field("Upgrade") else OK

    hostile.issuer.answer = answer
    yield
    hostile.issuer.answer = before


@pytest.mark.case("W04")
async def test_a_401_at_the_handshake_renews_before_the_first_frame(hostile: Hostile) -> None:
    """Surprise 12."""
    assert (await hostile.ask("GET /t/a")).status == 200
    with refusing(hostile, [hostile.canaries.tokens[0]]):
        async with hostile.connect() as client:
            await client.send(message("GET /t/a", *HANDSHAKE, host=hostile.proxy.host))
            assert b" 101 " in await client.head()
            assert await echoed(client, frame(TEXT, b"hello")) == frame(TEXT, b"hello")
    assert len(hostile.canaries.tokens) == 2
    assert len(hostile.arrived) == 3


@pytest.mark.case("W04")
async def test_a_second_401_at_the_handshake_is_the_answer(hostile: Hostile) -> None:
    """Surprise 12."""
    with refusing(hostile, hostile.canaries.tokens):
        refused = await hostile.ask("GET /t/a", *HANDSHAKE)
    assert (refused.status, refused.field("Sidekey-Error")) == (401, ["credential-rejected"])
    assert len(hostile.canaries.tokens) == len(hostile.arrived) == 2


@pytest.mark.case("W10")
async def test_a_token_that_is_no_longer_good_leaves_the_tunnel_open(hostile: Hostile) -> None:
    refused: list[str] = []
    with refusing(hostile, refused):
        async with hostile.connect() as client:
            await client.send(message("GET /t/a", *HANDSHAKE, host=hostile.proxy.host))
            assert b" 101 " in await client.head()
            refused.append(hostile.canaries.tokens[0])
            assert (await hostile.ask("GET /t/a")).status == 200
            assert len(hostile.canaries.tokens) == 2
            assert await echoed(client, frame(TEXT, b"still here")) == frame(TEXT, b"still here")


@pytest.mark.case("W06")
@pytest.mark.parametrize(
    "sent",
    [
        frame(TEXT, b"frag", bits=0) + frame(PING, b"in between") + frame(0, b"ment"),
        frame(TEXT, b"reserved", bits=0xF0),
        frame(0xB, b"reserved opcode"),
        frame(TEXT, b"\xc3\x28 bad UTF-8"),
        frame(TEXT, b"unmasked", mask=None),
        frame(CLOSE, b"\x00"),
        frame(CLOSE, b"\x03\xe7 999"),
        frame(PING, b"x" * 200),
        frame(PING, b"fragmented", bits=0),
        frame(0, b"continues nothing"),
        b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + b"length over 2^63",
        b"GET /q/b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_malformed_frames_pass_both_ways_byte_for_byte(hostile: Hostile, sent: bytes) -> None:
    """Nobody here reads frames: the peers judge. What looks like a request is none."""
    async with tunnel(hostile) as client:
        assert await echoed(client, sent) == sent
        assert await echoed(client, b"\x81") == b"\x81"
        assert await echoed(client, sent) == sent
    assert len(hostile.arrived) == 1


@asynccontextmanager
async def joined(
    attack: Attack,
    talk: Callable[[ServerConnection], Awaitable[None]],
    *,
    inject: str = "",
    subprotocols: list[Subprotocol] | None = None,
) -> AsyncIterator[str]:
    """Serve `talk` with `websockets` as the upstream of `r`; yield its URL at the proxy."""
    async with serve(talk, "127.0.0.1", 0, subprotocols=subprotocols) as server:
        origin = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        async with attack(origin=origin, more={"r": inject}) as hostile:
            yield f"ws://{hostile.proxy.host}/r/stream"


@pytest.mark.case("W05")
@ON_TCP
async def test_pings_reach_the_other_peer(attack: Attack) -> None:
    pongs: list[float] = []

    async def ping(server: ServerConnection) -> None:
        pongs.append(await (await server.ping(b"from the server")))
        await server.recv()

    async with joined(attack, ping) as url, connect(url, proxy=None) as client:
        await (await client.ping(b"from the client"))
        await client.send("done")
        await client.wait_closed()
    assert len(pongs) == 1


@pytest.mark.case("W05")
@ON_TCP
@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 4321])
@pytest.mark.parametrize("who", ["client", "upstream"])
async def test_a_close_code_reaches_the_other_peer(attack: Attack, who: str, code: int) -> None:
    closed: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()

    async def talk(server: ServerConnection) -> None:
        if who == "upstream":
            await server.close(code, "that is all")
        await server.wait_closed()
        closed.put_nowait((server.close_code, server.close_reason))

    async with joined(attack, talk) as url, connect(url, proxy=None) as client:
        if who == "client":
            await client.close(code, "that is all")
        await client.wait_closed()
        told = (client.close_code, client.close_reason) if who == "upstream" else await closed.get()
        assert told == (code, "that is all")


@pytest.mark.case("W05")
@ON_TCP
@pytest.mark.parametrize("who", ["client", "upstream"])
async def test_a_reset_of_one_peer_is_1006_for_the_other(attack: Attack, who: str) -> None:
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def talk(server: ServerConnection) -> None:
        if who == "upstream":
            server.transport.abort()
        await server.wait_closed()
        codes.put_nowait(server.close_code)

    async with joined(attack, talk) as url, connect(url, proxy=None) as client:
        if who == "client":
            client.transport.abort()
            assert await codes.get() == 1006
        else:
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1006


@pytest.mark.case("W09")
@ON_TCP
async def test_the_peers_agree_on_subprotocol_and_extensions(attack: Attack) -> None:
    async def talk(server: ServerConnection) -> None:
        await server.send("x" * 1000)

    a, b = Subprotocol("a"), Subprotocol("b")
    async with (
        joined(attack, talk, subprotocols=[b]) as url,
        connect(url, subprotocols=[a, b], compression="deflate", proxy=None) as client,
    ):
        assert await client.recv() == "x" * 1000
        assert client.subprotocol == "b"
        assert [extension.name for extension in client.protocol.extensions] == [
            "permessage-deflate"
        ]


@pytest.mark.case("W09")
@ON_TCP
async def test_a_credential_can_go_where_subprotocols_stand(attack: Attack) -> None:
    """Browsers can set no other field, so some APIs take the token there."""
    offered: list[list[str]] = []

    async def talk(server: ServerConnection) -> None:
        assert server.request is not None
        offered.append(server.request.headers.get_all("Sec-WebSocket-Protocol"))

    inject = 'inject: {in: header, name: Sec-WebSocket-Protocol, format: "chat, bearer.{token}"}'
    chat = Subprotocol("chat")
    async with (
        joined(attack, talk, inject=inject, subprotocols=[chat]) as url,
        connect(url, subprotocols=[chat, Subprotocol("bearer.dummy")], proxy=None) as client,
    ):
        await client.wait_closed()
        assert client.subprotocol == "chat"
    assert re.fullmatch(r"chat, bearer\.canary-key-1-\w+", offered[0][0])
    assert len(offered[0]) == 1
