"""Which upstream gets a request, and what path it gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import free_port
from gateway_samples import keyed
from proxying import BEGINNING, sidekey
from raw_client import ask, ask_raw, message, raw_client
from raw_upstream import answering


async def test_a_prefix_an_own_host_name_and_an_own_port_lead_to_the_upstream(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, path="/v1", more=f"port: {port}")) as proxy,
    ):
        await ask(proxy, "GET /r/a?b=1")
        await ask(proxy, "GET /a?b=1", host=f"r.localhost:{proxy.port}")
        async with raw_client(port) as client:
            await client.send(b"GET /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
            assert (await client.answer()).status == 200
        assert proxy.url("r") == f"http://127.0.0.1:{port}"
    assert [request.target for request in upstream.requests] == ["/v1/a?b=1"] * 3


@pytest.mark.parametrize(
    ("path", "sent", "got"),
    [
        ("", "/r", "/"),
        ("", "/r/", "/"),
        ("", "/r?a=1", "/?a=1"),
        ("/v1", "/r", "/v1"),
        ("/v1", "/r/", "/v1/"),
        ("/v1", "/r//x", "/v1//x"),
        ("", "/r/r/a", "/r/a"),
    ],
)
async def test_the_prefix_goes_and_the_base_path_comes(
    tmp_path: Path, path: str, sent: str, got: str
) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin, path=path)) as p:
        assert (await ask(p, f"GET {sent}")).status == 200
    assert upstream.last.target == got


async def test_the_host_field_names_the_upstream_and_not_us(tmp_path: Path) -> None:
    """Surprise 20."""
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(proxy, "GET /r/a")
    assert upstream.last.field("Host") == [upstream.origin.removeprefix("http://")]


@pytest.mark.parametrize("target", ["/", "/nope/x", "/R/x", "/%72/x", "/rr/x", "//r/x"])
async def test_an_unknown_route_is_a_problem_with_every_member(tmp_path: Path, target: str) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, f"GET {target}")
    problem = answer.json()
    request_id = problem.pop("request_id")
    assert len(request_id) == 16
    near = " (did you mean 'r'?)" if target == "/rr/x" else ""
    assert problem == {
        "type": "/_sidekey/problems/unknown-upstream",
        "title": "Unknown upstream",
        "status": 404,
        "detail": "no upstream has this route" + near,
        "fix": "call /r/" + ("; the dashboard is /_sidekey/" if target in ("/", "//r/x") else ""),
    }
    assert answer.status == 404
    assert answer.field("Sidekey-Error") == ["unknown-upstream"]
    assert answer.field("Content-Type") == ["application/problem+json"]
    assert answer.field("Cache-Control") == ["no-store"]
    assert upstream.connections == 0


async def test_a_problem_of_a_known_upstream_names_it(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more="deny: [{paths: [/x]}]")) as proxy,
    ):
        assert (await ask(proxy, "GET /r/x")).json()["upstream"] == "r"


@pytest.mark.parametrize("page", ["healthz", "readyz", "status"])
async def test_our_own_pages_are_on_every_listener_and_never_forwarded(
    tmp_path: Path, page: str
) -> None:
    port = free_port()
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=f"port: {port}")) as proxy,
    ):
        main = await ask(proxy, f"GET /_sidekey/{page}")
        named = await ask(proxy, f"GET /_sidekey/{page}", host=f"r.localhost:{proxy.port}")
        async with raw_client(port) as client:
            request = f"GET /_sidekey/{page} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
            await client.send(request.encode())
            own = await client.answer()
    assert main.content == named.content == own.content
    assert (main.status, main.field("Content-Type")[0].partition(";")[0]) == (
        200,
        "application/json",
    )
    assert main.json()
    assert upstream.connections == 0


@pytest.mark.parametrize("target", ["/_sidekey/nope", "/_sidekey/r/x", "/_sidekey/static/nope.js"])
async def test_an_unknown_page_of_ours_is_a_404_of_ours(tmp_path: Path, target: str) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, f"GET {target}")
    assert (answer.status, answer.field("Sidekey-Error")) == (404, ["unknown-upstream"])
    assert upstream.connections == 0


async def test_two_requests_use_one_connection_to_the_upstream(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        for _ in range(3):
            assert (await ask(proxy, "GET /r/a")).status == 200
    assert upstream.connections == 1


async def test_an_http_1_0_client_gets_an_answer_without_chunks(tmp_path: Path) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with answering(chunked) as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        request = f"GET /r/a HTTP/1.0\r\nHost: localhost:{proxy.port}\r\n\r\n"
        answer = await ask_raw(proxy, request.encode())
    assert (answer.content, answer.field("Transfer-Encoding")) == (b"ok", [])


async def test_an_own_port_answers_to_no_other_upstreams_name(tmp_path: Path) -> None:
    port = free_port()
    async with answering() as upstream:
        first = keyed(upstream.origin, name="first", more=f"port: {port}")
        upstreams = first + "\n" + keyed(upstream.origin, name="second")
        async with sidekey(tmp_path, upstreams), raw_client(port) as client:
            await client.send(b"GET /a HTTP/1.1\r\nHost: second.localhost:%d\r\n\r\n" % port)
            assert (await client.answer()).status == 421
            await client.send(b"GET /a HTTP/1.1\r\nHost: first.localhost:%d\r\n\r\n" % port)
            assert (await client.answer()).status == 200


async def test_our_own_pages_are_for_reading(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        assert (await ask(proxy, "POST /_sidekey/status")).status == 405
        assert (await ask(proxy, "HEAD /_sidekey/healthz")).status == 200


HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.mark.parametrize("handshake", [(), HANDSHAKE], ids=["request", "websocket"])
@pytest.mark.parametrize("line", ["GET /a", "GET /_sidekey/status"])
async def test_an_own_port_is_guarded_like_the_main_one(
    tmp_path: Path, line: str, handshake: tuple[str, ...]
) -> None:
    port = free_port()
    beginning = BEGINNING + "clients: {keys: a-made-up-client-key}\n"
    ours = f"localhost:{port}"
    refused = [
        ("evil.example", (), 421),
        ("localhost:1", (), 421),
        (ours, ("Origin: http://evil.example",), 403),
        (ours, ("Sec-Fetch-Site: cross-site",), 403),
        (ours, ("Via: 1.1 x",), 403),
        (ours, (), 401),
    ]
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=f"port: {port}"), beginning=beginning),
    ):
        for host, fields, status in refused:
            async with raw_client(port) as client:
                await client.send(message(line, *fields, *handshake, host=host))
                assert (await client.answer()).status == status, (host, fields)
        assert upstream.connections == 0


async def test_a_browser_that_opens_the_root_finds_the_dashboard(tmp_path: Path) -> None:
    opened = ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate")
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        for fields in (
            ("Accept: text/html,application/xhtml+xml", *opened),
            ("Accept: text/html,application/xhtml+xml",),  # before Fetch Metadata
            ("Accept: text/html",),
            ("Accept: text/html", *opened),
            ("Accept: */*", *opened),
            ("Accept: text/html", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate"),
        ):
            found = await ask(proxy, "GET /", *fields)
            assert (found.status, found.field("Location")) == (302, ["/_sidekey/"]), fields
        led = await ask(proxy, "GET /", "Accept: text/html", "Sec-Fetch-Site: cross-site")
        of_upstream = await ask(proxy, "GET /", *opened, host=f"r.localhost:{proxy.port}")
        program = await ask(proxy, "GET /")
        posted = await ask(proxy, "POST /", "Accept: text/html")
    assert (of_upstream.status, led.status) == (403, 403)
    assert (program.status, posted.status) == (404, 404)


async def test_the_routes_that_there_are_are_named(tmp_path: Path) -> None:
    upstream = "{}: {{base_url: 'http://127.0.0.1:9', provider: {{type: api_key, keys: made-up}}}}"
    said = []
    for names in ("ab", "abc"):
        async with sidekey(tmp_path, "\n".join(map(upstream.format, names))) as proxy:
            said.append((await ask(proxy, "GET /nope")).json()["fix"])
    assert said == ["call /a/ or /b/", "call one of /a/, /b/, /c/"]


@pytest.mark.parametrize(
    ("asked", "near"), [("/statuss", "/status"), ("/requests", "/api/requests")]
)
async def test_a_page_of_ours_that_is_misspelt_is_named(
    tmp_path: Path, asked: str, near: str
) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        problem = (await ask(proxy, f"GET /_sidekey{asked}")).json()
    hint = f"(did you mean '/_sidekey{near}'?)"
    assert problem["detail"] == f"sidekey has no page /_sidekey{asked} {hint}"


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("POST /_sidekey/status", "use GET or HEAD"),
        ("GET /_sidekey/api/upstreams/r/renew", "use POST"),
        ("DELETE /_sidekey/login/r", "use one of GET, HEAD, POST"),
        ("TRACE /r/a", "use one of DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
    ],
)
async def test_the_methods_that_would_do_are_named(tmp_path: Path, line: str, fix: str) -> None:
    text = keyed("http://127.0.0.1:9")
    async with sidekey(tmp_path, text) as proxy:
        answer = await ask(proxy, line)
    assert (answer.status, answer.json()["fix"]) == (405, fix)
    assert answer.field("Allow") == [
        fix.removeprefix("use ").removeprefix("one of ").replace(" or", ",")
    ]
