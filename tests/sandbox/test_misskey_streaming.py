"""The Misskey sandbox's streaming API, byte for byte and through the `websockets` client."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from misskey_exchanges import handshake
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)
REFUSED = (
    b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm="Misskey", '
    b'error="invalid_token", error_description="Failed to authenticate"\r\n\r\n'
)


async def read_refusal(origin: str, target: str, **fields: str) -> bytes:
    """All bytes until the server closes."""
    parts = urlsplit(origin)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"".join(handshake(target, **fields).pieces(parts.netloc)))
    answer = await reader.read()
    writer.close()
    return answer


def stream_url(origin: str, token: str) -> str:
    return f"{origin.replace('http', 'ws', 1)}/streaming?i={token}"


async def test_a_refused_handshake_is_the_recorded_bytes_and_nothing_else() -> None:
    async with serve(MisskeySandbox().application()) as origin:
        assert await read_refusal(origin, "/streaming?i=bad") == REFUSED


async def test_an_old_server_refuses_without_a_word() -> None:
    async with serve(MisskeySandbox("13.13.2").application()) as origin:
        answer = await read_refusal(origin, "/streaming?i=bad")
    assert answer == b"HTTP/1.1 401 Unauthorized\r\n\r\n"


async def test_an_unknown_protocol_version_is_refused_as_the_ws_library_does() -> None:
    async with serve(MisskeySandbox().application()) as origin:
        answer = await read_refusal(origin, "/streaming", Sec_WebSocket_Version="12")
    assert answer == (
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/html\r\n"
        b"Content-Length: 47\r\nSec-WebSocket-Version: 13, 8\r\n\r\n"
        b"Missing or invalid Sec-WebSocket-Version header"
    )


@pytest.mark.parametrize(
    ("fields", "extra"),
    [
        ({}, b""),
        ({"Sec_WebSocket_Protocol": "foo, bar"}, b"Sec-WebSocket-Protocol: foo\r\n"),
        ({"Sec_WebSocket_Extensions": "permessage-deflate"}, b""),
    ],
)
async def test_an_accepted_handshake_has_the_recorded_fields_only(
    fields: dict[str, str], extra: bytes
) -> None:
    async with serve(MisskeySandbox().application()) as origin:
        parts = urlsplit(origin)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"".join(handshake("/streaming", **fields).pieces(parts.netloc)))
        assert await reader.readuntil(b"\r\n\r\n") == ACCEPTED + extra + b"\r\n"
        writer.close()


async def test_a_connection_has_room_for_32_channels() -> None:
    sandbox = MisskeySandbox()
    async with (
        serve(sandbox.application()) as origin,
        connect(stream_url(origin, sandbox.native_token)) as socket,
    ):
        for number in range(40):
            body = {"channel": "main", "id": str(number), "pong": True}
            await socket.send(json.dumps({"type": "connect", "body": body}))
        heard = [json.loads(await socket.recv()) for _ in range(32)]
        assert [frame["body"]["id"] for frame in heard] == [str(n) for n in range(32)]
        await socket.close()
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_the_close_code_of_the_client_comes_back() -> None:
    sandbox = MisskeySandbox()
    async with (
        serve(sandbox.application()) as origin,
        connect(stream_url(origin, sandbox.native_token)) as socket,
    ):
        await socket.close(4001, "x")
        assert socket.protocol.close_rcvd is not None
        assert (socket.protocol.close_rcvd.code, socket.protocol.close_rcvd.reason) == (4001, "x")


async def test_a_ping_is_answered() -> None:
    sandbox = MisskeySandbox()
    async with (
        serve(sandbox.application()) as origin,
        connect(stream_url(origin, sandbox.native_token), ping_interval=None) as socket,
    ):
        await (await socket.ping(b"there?"))


async def test_the_server_pings_and_a_client_that_answers_stays() -> None:
    sandbox = MisskeySandbox(ping_interval=0.02)
    async with (
        serve(sandbox.application()) as origin,
        connect(stream_url(origin, sandbox.native_token), ping_interval=None) as socket,
    ):
        await asyncio.sleep(0.2)
        await (await socket.ping())


async def test_a_client_that_never_answers_a_ping_is_cut_without_a_close_frame() -> None:
    async with serve(MisskeySandbox(ping_interval=0.02).application()) as origin:
        parts = urlsplit(origin)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"".join(handshake("/streaming").pieces(parts.netloc)))
        await reader.readuntil(b"\r\n\r\n")
        rest = await reader.read()
        writer.close()
    assert rest == b"\x89\x00" * 2  # empty pings


async def test_the_first_subprotocol_is_chosen() -> None:
    sandbox = MisskeySandbox()
    protocols = [Subprotocol("a"), Subprotocol("b")]
    async with (
        serve(sandbox.application()) as origin,
        connect(stream_url(origin, sandbox.native_token), subprotocols=protocols) as socket,
    ):
        assert socket.subprotocol == "a"
