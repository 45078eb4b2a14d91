"""Forward proxies on the way to an upstream, named by HTTP_PROXY and HTTPS_PROXY."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import sidekey
from raw_client import ask
from raw_upstream import OK, Conversation, RawRequest, answering, conversing

USER = "me:canary-of-the-proxy"
BASIC = "Basic " + base64.b64encode(USER.encode()).decode()


@pytest.fixture(autouse=True)
def _no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.delenv("NO_PROXY", raising=False)


@pytest.mark.parametrize("user", ["", f"{USER}@"])
async def test_a_proxy_for_clear_text_gets_the_absolute_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    async with answering(OK) as forward:
        monkeypatch.setenv("http_proxy", forward.origin.replace("://", f"://{user}"))
        async with sidekey(tmp_path, keyed("http://api.example", path="/v1")) as proxy:
            for _ in range(2):
                assert (await ask(proxy, "GET /r/a?x=1")).content == b"ok"
        assert forward.connections == 1
        assert forward.last.line == b"GET http://api.example/v1/a?x=1 HTTP/1.1"
        assert forward.last.field("Host") == ["api.example"]
        assert forward.last.field("Proxy-Authorization") == ([BASIC] if user else [])


@pytest.mark.parametrize("user", ["", f"{USER}@"])
async def test_a_proxy_for_tls_only_connects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: ssl.SSLContext, user: str
) -> None:
    asked: list[RawRequest] = []

    async def tunnel(peer: Conversation) -> None:
        asked.append(await peer.head())
        await peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        port = int(asked[-1].target.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(relay(peer.reader, writer), relay(reader, peer.writer))

    seen: list[RawRequest] = []

    async def converse(peer: Conversation) -> None:
        while True:
            seen.append(await peer.request())
            await peer.send(OK)

    async with conversing(converse, tls=trusted) as upstream, conversing(tunnel) as forward:
        monkeypatch.setenv("https_proxy", forward.origin.replace("://", f"://{user}"))
        origin = upstream.origin.replace("127.0.0.1", "localhost")
        async with sidekey(tmp_path, keyed(origin)) as proxy:
            for _ in range(2):
                assert (await ask(proxy, "GET /r/a")).content == b"ok"
        assert (forward.connections, upstream.connections) == (1, 1)
        assert asked[0].line.startswith(b"CONNECT localhost:")
        assert asked[0].field("Proxy-Authorization") == ([BASIC] if user else [])
        assert asked[0].field("Authorization") == []
        assert seen[0].field("Proxy-Authorization") == []
        assert seen[0].line == b"GET /a HTTP/1.1"


async def test_a_proxy_may_be_named_without_its_scheme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(OK) as forward:
        monkeypatch.setenv("http_proxy", forward.origin.removeprefix("http://"))
        async with sidekey(tmp_path, keyed("http://api.example")) as proxy:
            assert (await ask(proxy, "GET /r/a")).content == b"ok"


@pytest.mark.parametrize("value", ["http://127.0.0.1:port", "http://", "http://[::1", ":"])
async def test_what_is_no_proxy_is_told_with_the_first_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Not at the start: other upstreams have nothing to do with it."""
    monkeypatch.setenv("http_proxy", value)
    async with sidekey(tmp_path, keyed("http://api.example")) as proxy:
        answer = await ask(proxy, "GET /r/a")
    assert answer.status == 502
    assert "forward proxy" in answer.json()["detail"]


async def test_what_is_no_proxy_is_told_of_a_token_endpoint_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to be said that the endpoint's host is no proper name."""
    monkeypatch.setenv("http_proxy", "http://[::1")
    text = """
r:
  base_url: http://api.example
  provider:
    type: oauth2_client_credentials
    token_url: http://token.example/token
    client_id: me
    client_secret: canary-client-secret
"""
    async with sidekey(tmp_path, text) as proxy:
        answer = await ask(proxy, "GET /r/a")
    assert answer.field("Sidekey-Error") == ["token-endpoint-unreachable"]
    assert "forward proxy" in answer.json()["detail"]


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
