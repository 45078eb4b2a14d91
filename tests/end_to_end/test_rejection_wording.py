"""How each upstream words a rejection, and what the presets make of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from pathlib import Path

import aiohttp
import pytest
from gateway_samples import protected, tokened
from issuing import Issuer, first_time
from proxying import Sidekey, sidekey
from raw_client import ask
from raw_upstream import (
    OK,
    answering,
    json_response,
    response,
)

from proxy.credentials.secret import Secret
from proxy.credentials.token import Token
from proxy.events import TokenAcquired
from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

JSON = "Content-Type: application/json"
REJECT_ON = "reject_on: [{status: %d, contains: token expired}]"


@pytest.mark.parametrize("status", [200, 400, 401, 403])
@pytest.mark.parametrize("coding", ["", "gzip", "deflate", "bare deflate"])
async def test_the_content_can_tell_a_rejection(tmp_path: Path, status: int, coding: str) -> None:
    """Surprise 10: a bad token is 401, 403, 400 or even 200, each with a text of its own."""
    text = b'{"error": "your token expired", "filler": "' + b"x" * 5000 + b'"}'
    content = coded(text, coding)
    fields = (f"Content-Encoding: {coding.split()[-1]}",) if coding else ()
    rejection = json_response(f"{status} Odd", content, *fields)
    issuer = Issuer(rejection=rejection, answer=first_time(OK, rejection))
    more = REJECT_ON % status
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin, more=more)) as proxy,
    ):
        await ask(proxy, "GET /r/first")
        issuer.revoke()
        answer = await ask(proxy, "GET /r/a")
    assert issuer.issued == 2
    assert (answer.status, answer.content) == (status, content)
    assert answer.field("Sidekey-Error") == ["credential-rejected"]


def coded(content: bytes, coding: str) -> bytes:
    if coding == "gzip":
        return gzip.compress(content, mtime=0)
    if coding == "bare deflate":  # without the zlib wrapper that RFC 9110 8.4.1.2 asks for
        return zlib.compress(content, wbits=-zlib.MAX_WBITS)
    return zlib.compress(content) if coding == "deflate" else content


async def test_no_coding_is_asked_for_that_would_hide_a_rejection(tmp_path: Path) -> None:
    async with (
        answering(Issuer()) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin, more=REJECT_ON % 403)) as proxy,
    ):
        await ask(proxy, "GET /r/a", "Accept-Encoding: gzip;q=0.5, br, zstd", "accept-encoding: x")
        await ask(proxy, "GET /r/a", "Accept-Encoding: br")
        await ask(proxy, "GET /r/a")
    sent = [request.field("Accept-Encoding") for request in upstream.requests[1:]]
    assert sent == [["gzip;q=0.5"], ["identity"], []]


@pytest.mark.parametrize(
    "answer",
    [
        json_response("403 Forbidden", b'{"error": "no such plan"}'),
        json_response("403 Forbidden", b"\x1f\x8bbroken", "Content-Encoding: gzip"),
        response("403 Forbidden", b"token expired", "Content-Type: text/plain"),
        json_response("403 Forbidden", b""),
    ],
)
async def test_the_same_status_with_another_text_is_no_rejection(
    tmp_path: Path, answer: bytes
) -> None:
    """Surprise 10: 403 also means a plan or a wrong path."""
    issuer = Issuer(answer=answer)
    more = REJECT_ON % 403
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin, more=more)) as proxy,
    ):
        got = await ask(proxy, "GET /r/a")
    assert got.head + got.content == protected(answer)
    assert issuer.issued == 1


async def test_jquants_v2_tells_a_bad_key_from_a_wrong_path_by_the_text(tmp_path: Path) -> None:
    """Surprise 10."""
    async with serve(JQuantsV2().application()) as origin:
        text = f"j:\n  preset: jquants-v2\n  base_url: {origin}/v2\n  provider: {{{{keys: {{}}}}}}"
        async with sidekey(tmp_path, text.format("wrong-key")) as proxy:
            bad_key = await ask(proxy, "GET /j/equities/master?code=86970")
        async with sidekey(tmp_path, text.format("demo-api-key")) as proxy:
            wrong_path = await ask(proxy, "GET /j/nope")
    assert (bad_key.status, bad_key.field("Sidekey-Error")) == (403, ["credential-rejected"])
    assert (wrong_path.status, wrong_path.field("Sidekey-Error")) == (403, [])


async def test_jquants_v1_renews_its_id_token_with_the_refresh_token(tmp_path: Path) -> None:
    jquants = JQuantsV1()
    async with serve(jquants.application()) as origin, sidekey(tmp_path, jquants_v1(origin)) as p:
        assert (await ask(p, "GET /j/listed/info?code=86970")).status == 200
        jquants.revoke_id_tokens()
        assert (await ask(p, "GET /j/listed/info?code=86970")).status == 200
        assert len(p.told(TokenAcquired)) == 2
    assert jquants.calls["/v1/token/auth_user"] == 1
    assert jquants.calls["/v1/token/auth_refresh"] == 2


def jquants_v1(origin: str) -> str:
    return (
        f"j:\n  preset: jquants-v1\n  base_url: {origin}/v1\n"
        "  provider: {mailaddress: demo@example.com, password: demo-password}"
    )


async def test_1000_first_requests_make_one_login(tmp_path: Path, many_sockets: None) -> None:
    """Surprise 17."""
    jquants = JQuantsV1()
    async with serve(jquants.application()) as origin, sidekey(tmp_path, jquants_v1(origin)) as p:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one() -> int:
                async with session.get(p.url("j", "/listed/info?code=86970")) as answer:
                    await answer.read()
                    return answer.status

            assert await asyncio.gather(*(one() for _ in range(1000))) == [200] * 1000
    assert jquants.calls["/v1/token/auth_user"] == 1
    assert jquants.calls["/v1/token/auth_refresh"] == 1
    assert jquants.calls["/v1/listed/info"] == 1000


@pytest.mark.parametrize("status", [401, 403])
async def test_a_misskey_rejection_is_final_until_the_next_login(
    tmp_path: Path, status: int
) -> None:
    """Surprise 11: tokens never expire, so a rejected one is dead; nobody keeps trying it."""
    version = "2025.11.1" if status == 401 else "13.13.2"
    misskey = MisskeySandbox(version, old_bad_token_status=status)
    async with serve(misskey.application()) as origin:
        upstreams = f"misskey:\n  preset: misskey\n  base_url: {origin}"
        async with sidekey(tmp_path, upstreams) as proxy:
            await sign_in(proxy, misskey)
            path = "POST /misskey/api/i"
            assert (await ask(proxy, path, JSON, content=b"{}")).status == 200
            misskey.revoke(proxy.source("misskey").entry.token.value.reveal())
            answers = [await ask(proxy, path, JSON, content=b"{}") for _ in range(5)]
            [status_now] = (await ask(proxy, "GET /_sidekey/status")).json()["upstreams"]
            assert (await ask(proxy, "GET /_sidekey/readyz")).status == 503
            assert misskey.calls["/api/i"] == 2
            await sign_in(proxy, misskey)
            assert (await ask(proxy, path, JSON, content=b"{}")).status == 200
    assert (status_now["state"], status_now["fix"]) == ("login-required", "sidekey login misskey")
    for answer in answers:
        assert (answer.status, answer.field("Sidekey-Error")) == (503, ["login-required"])
        assert answer.json()["fix"] == "sidekey login misskey"


async def sign_in(proxy: Sidekey, misskey: MisskeySandbox) -> None:
    """Put an approved token where `sidekey login` puts it."""
    token = misskey.issue_token(["read:account", "write:notes", "write:drive"])
    await proxy.source("misskey").keep(Token(Secret(token)))


async def test_before_the_first_login_nothing_is_sent(tmp_path: Path) -> None:
    misskey = MisskeySandbox()
    async with serve(misskey.application()) as origin:
        upstreams = f"misskey:\n  preset: misskey\n  base_url: {origin}"
        async with sidekey(tmp_path, upstreams) as proxy:
            answer = await ask(proxy, "POST /misskey/api/i", JSON, content=b"{}")
    assert (answer.status, answer.json()["fix"]) == (503, "sidekey login misskey")
    assert not misskey.requests
    assert json.loads(answer.content)["upstream"] == "misskey"
