"""Requests that are refused before they are led anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import RawAnswer, ask, ask_raw, raw_client
from raw_upstream import RawUpstream, answering


async def refused(tmp_path: Path, line: str, *fields: str, host: str | None = None) -> RawAnswer:
    """Return the answer to a request that must not reach the upstream."""
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, line, *fields, host=host)
        assert upstream.connections == 0
    assert not [name for name, _ in answer.fields if name.lower().startswith("access-control")]
    return answer


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example:{port}",
        "0.0.0.0:{port}",
        "127.0.0.2:{port}",
        "nope.localhost:{port}",
        "a.r.localhost:{port}",
        "localhost..:{port}",
    ],
)
async def test_a_host_that_is_not_ours_is_421(tmp_path: Path, host: str) -> None:
    """Surprise 20: a page that rebinds its name to 127.0.0.1 is betrayed by Host only."""
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, "GET /r/a", host=host.format(port=proxy.port))
    assert (answer.status, answer.field("Sidekey-Error")) == (421, ["host-refused"])
    assert "allowed_hosts" in answer.json()["fix"]
    assert upstream.connections == 0


@pytest.mark.parametrize(
    "host", ["localhost:{port}", "LOCALHOST:{port}", "localhost.:{port}", "[::1]:{port}"]
)
async def test_our_names_in_any_spelling_are_served(tmp_path: Path, host: str) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, "GET /r/a", host=host.format(port=proxy.port))
    assert answer.status == 200


async def test_a_further_name_can_be_allowed(tmp_path: Path) -> None:
    beginning = BEGINNING.replace("port: 0", "port: 0, allowed_hosts: [proxy.test, 'x.test:80']")
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=beginning) as proxy,
    ):
        statuses = [
            (await ask(proxy, "GET /r/a", host=host.format(port=proxy.port))).status
            for host in ("proxy.test:{port}", "x.test", "x.test:80", "proxy.test")
        ]
    assert statuses == [200, 200, 200, 421]


@pytest.mark.parametrize(
    "hosts",
    [
        "",
        "Host: localhost:{port}\r\nHost: localhost:{port}\r\n",
        "Host: \r\n",
        "Host: localhost:{port}@evil.example\r\n",
        "Host: localhost:{port}, evil.example\r\n",
        "Host: local host:{port}\r\n",
        "Host: user@localhost:{port}\r\n",
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_missing_doubled_or_malformed_host_is_400(
    tmp_path: Path, hosts: str, version: str
) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        request = f"GET /r/a HTTP/{version}\r\n{hosts.format(port=proxy.port)}\r\n"
        answer = await ask_raw(proxy, request.encode())
    assert answer.status == 400
    assert upstream.connections == 0


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize(
    "field",
    [
        "Origin: https://evil.example",
        "Origin: null",
        "origin: http://127.0.0.1:3000",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "sec-fetch-site: nonsense",
    ],
)
async def test_what_a_web_page_of_another_origin_sends_is_403(
    tmp_path: Path, method: str, field: str
) -> None:
    """Surprise 20."""
    answer = await refused(tmp_path, f"{method} /r/a", field)
    assert (answer.status, answer.field("Sidekey-Error")) == (403, ["cross-site-refused"])


@pytest.mark.parametrize("site", ["none", "same-origin"])
async def test_a_human_at_the_address_bar_is_served(tmp_path: Path, site: str) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        assert (await ask(proxy, "GET /r/a", f"Sec-Fetch-Site: {site}")).status == 200


async def test_a_preflight_is_refused_here(tmp_path: Path) -> None:
    """Surprise 20."""
    answer = await refused(
        tmp_path,
        "OPTIONS /r/a",
        "Origin: https://evil.example",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Private-Network: true",
    )
    assert answer.status == 403


async def test_our_own_pages_are_not_for_web_pages_either(tmp_path: Path) -> None:
    answer = await refused(tmp_path, "GET /_sidekey/status", "Origin: https://evil.example")
    assert answer.status == 403


@pytest.mark.parametrize(
    "target",
    [
        "/r/../admin",
        "/r/a/..",
        "/r/./a",
        "/r/%2e%2e/admin",
        "/r/%2E./admin",
        "/r/.%2e/admin",
        "/r/%252e%252e/admin",
        "/r/%25252e%25252e/admin",
        "/r/a%2fb",
        "/r/a%252Fb",
        "/r/..%2fadmin",
        "/r/a%5cb",
        "/r/a\\b",
        "/r/a%00b",
        "/r/a%0d%0ab",
        "/r/..;/admin",
        "/r/%zz",
        "/r/%",
        "/r/a#fragment",
        "http://evil.example/r/a",
        "http://127.0.0.1/r/a",
        "file:///etc/passwd",
        "r/a",
        "*",
    ],
)
async def test_a_target_that_could_escape_is_400(tmp_path: Path, target: str) -> None:
    answer = await refused(tmp_path, f"GET {target}")
    assert answer.status == 400


@pytest.mark.case("P06", "P09")
@pytest.mark.parametrize(
    "target", ["/../r/a", "/r%2fa", "/r;a=1/a", "/%72/a", "/r%2f..%2fr/a", "/r..;/a", "/."]
)
async def test_a_route_is_compared_as_raw_text(tmp_path: Path, target: str) -> None:
    answer = await refused(tmp_path, f"GET {target}")
    assert (answer.status, answer.field("Sidekey-Error")) == (404, ["unknown-upstream"])


@pytest.mark.case("P17")
@pytest.mark.parametrize("target", ["/r/" + "a" * 16_400, "/" + "a" * 16_400, "/r/" + "a/" * 8200])
async def test_a_target_over_16_kib_is_414(tmp_path: Path, target: str) -> None:
    answer = await refused(tmp_path, f"GET {target}")
    assert (answer.status, answer.field("Sidekey-Error")) == (414, ["target-too-long"])


@pytest.mark.parametrize("target", ["/r/%2e%2e/admin", "/r/a%2fb", "/r/%zz"])
async def test_a_refused_target_is_a_problem_and_is_not_repeated(
    tmp_path: Path, target: str
) -> None:
    answer = await refused(tmp_path, f"GET {target}")
    assert answer.field("Sidekey-Error") == ["bad-target"]
    assert target.encode() not in answer.content


async def test_dots_that_are_no_segment_are_fine(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        for path in ("/a..b", "/...", "/.well-known/x", "/a.", "/?x=../y"):
            assert (await ask(proxy, f"GET /r{path}")).status == 200
            assert upstream.last.target == path


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
async def test_trace_and_connect_are_refused(tmp_path: Path, method: str) -> None:
    """TRACE would echo the credential."""
    answer = await refused(tmp_path, f"{method} /r/a")
    assert answer.status in (400, 403, 405)


async def test_connect_to_an_authority_is_refused(tmp_path: Path) -> None:
    assert (await refused(tmp_path, "CONNECT evil.example:443")).status in (400, 403, 405)


SMUGGLED = [
    b"Content-Length: 3\r\nTransfer-Encoding: chunked",
    b"Content-Length: 3\r\nContent-Length: 4",
    b"Content-Length: +3",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity, chunked",
    b"X : 1",
    b": 1",
    b"X: a\x00b",
]


async def send_smuggled(proxy: Sidekey, upstream: RawUpstream, fields: bytes) -> RawAnswer:
    host = b"Host: localhost:%d\r\n" % proxy.port
    request = b"POST /r/a HTTP/1.1\r\n" + host + fields + b"\r\n\r\n1\r\na\r\n0\r\n\r\n"
    answer = await ask_raw(proxy, request)
    assert upstream.connections == 0
    return answer


@pytest.mark.parametrize("fields", SMUGGLED)
async def test_a_message_with_an_unclear_end_is_refused(tmp_path: Path, fields: bytes) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await send_smuggled(proxy, upstream, fields)
    assert answer.status in (400, 501)


async def test_a_message_that_is_no_http_is_a_problem_and_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Surprise 22: aiohttp's own refusal is a text that quotes the message, in the log too."""
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, "GET /r/a", "X : Bearer canary-of-the-client")
        host = b"Host: localhost:%d\r\nAuthorization: canary\x00of-the-client\r\n\r\n" % proxy.port
        await ask_raw(proxy, b"GET /r/a?token=canary HTTP/1.1\r\n" + host)
    assert (answer.status, answer.field("Sidekey-Error")) == (400, ["bad-message"])
    assert b"canary" not in answer.content
    assert "canary" not in caplog.text


async def test_chunks_in_http_1_0_are_refused(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        head = f"POST /r/a HTTP/1.0\r\nHost: localhost:{proxy.port}\r\n"
        chunks = "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert (await ask_raw(proxy, (head + chunks).encode())).status == 400
        assert upstream.connections == 0


@pytest.mark.parametrize("sent", [b"", b"GET /r/a HTTP/1.1\r\nHost: "])
async def test_a_head_that_is_never_finished_does_not_hold_a_connection(
    tmp_path: Path, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.listeners.IDLE", 0.2)
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(sent)
        assert b"200" not in await client.reader.read()
