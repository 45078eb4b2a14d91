"""Web pages: whatever makes a browser send a request, nothing reaches an upstream."""

from __future__ import annotations

import itertools
import socket

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hostile_fixtures import ON_TCP, Attack
from hostile_harness import Hostile
from raw_client import RawAnswer
from raw_upstream import response

NAVIGATION = ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
PREFLIGHT = (
    "Access-Control-Request-Method: POST",
    "Access-Control-Request-Headers: content-type",
    "Access-Control-Request-Private-Network: true",
)
CORS = (
    "Access-Control-Allow-Origin: *",
    "Access-Control-Allow-Credentials: true",
    "Access-Control-Allow-Private-Network: true",
    "access-control-expose-headers: *",
    "Timing-Allow-Origin: *",
)
ACTIVE = ("text/html; charset=utf-8", "image/svg+xml", "application/xhtml+xml")
HTML = b"<script>fetch('/q/secret')</script>"


def check_refused(hostile: Hostile, answer: RawAnswer, status: int, slug: str) -> None:
    """The answer is that problem, allows no page anything, and nothing was forwarded."""
    hostile.check_refused(answer, status, slug)
    check_no_cors(answer)


def check_no_cors(answer: RawAnswer) -> None:
    names = [name.lower() for name, _ in answer.fields]
    assert not [n for n in names if n.startswith(("access-control-", "timing-allow-"))]


async def check_foreign(hostile: Hostile, target: str, host: str) -> None:
    answer = await hostile.ask(f"GET {target}", host=hostile.host(host))
    check_refused(hostile, answer, 421, "host-refused")
    assert "allowed_hosts" in answer.json()["fix"]


@pytest.mark.case("B01")
async def test_a_host_that_is_not_ours_is_421(hostile: Hostile) -> None:
    """Surprise 20: a page that rebinds its name to 127.0.0.1 is betrayed by Host only."""
    for host in ("evil.example", "evil.example:{port}", "nope.localhost:{port}"):
        for target in ("/r/a", "/_sidekey/status", "/nope"):
            await check_foreign(hostile, target, host)


@pytest.mark.case("B02")
async def test_a_host_that_only_looks_like_ours_is_421(hostile: Hostile) -> None:
    for host in (
        "localhost.evil.com:{port}",
        "127.0.0.1.nip.io:{port}",
        "127a0b0c1:{port}",
        "r.localhost.evil.com:{port}",
        "a.r.localhost:{port}",
        "localhost..:{port}",
    ):
        await check_foreign(hostile, "/r/a", host)


@pytest.mark.case("B03")
async def test_the_unspecified_address_is_no_name_of_ours(hostile: Hostile) -> None:
    """Pages reached local servers through 0.0.0.0 past what browsers forbid for 127.0.0.1."""
    for host in ("0.0.0.0:{port}", "[::]:{port}", "0:{port}"):
        await check_foreign(hostile, "/r/a", host)


@pytest.mark.case("B04")
async def test_our_address_in_another_spelling_is_421(hostile: Hostile) -> None:
    for host in (
        "127.1:{port}",
        "127.0.0.2:{port}",
        "2130706433:{port}",
        "0x7f.1:{port}",
        "0177.0.0.1:{port}",
        "[::ffff:127.0.0.1]:{port}",
        "[0:0:0:0:0:0:0:1]:{port}",
    ):
        await check_foreign(hostile, "/r/a", host)


@pytest.mark.case("B05")
async def test_our_names_in_any_spelling_are_served(hostile: Hostile) -> None:
    for name in ("localhost", "LOCALHOST", "localhost.", "127.0.0.1", "[::1]", "r.LocalHost"):
        answer = await hostile.ask("GET /r/a", host=hostile.host(f"{name}:{{port}}"))
        assert answer.status == 200, name


@pytest.mark.case("B06")
@ON_TCP
async def test_our_name_with_another_port_is_421(hostile: Hostile) -> None:
    for host in ("127.0.0.1", "127.0.0.1:1", "localhost:80", "localhost:65535"):
        await check_foreign(hostile, "/r/a", host)


@pytest.mark.case("B07")
async def test_a_malformed_host_is_400(hostile: Hostile) -> None:
    for host in (
        "localhost@evil x",
        "localhost:65536",
        "localhost:{port}@evil.example",
        "user@localhost:{port}",
        "localhost,evil",
        "localhost:{port}, evil.example",
        "localhost/",
        "local host:{port}",
        "localhost:",
        "localhost:1x",
        "[::1",
        "",
    ):
        answer = await hostile.ask("GET /r/a", host=hostile.host(host))
        check_refused(hostile, answer, 400, "bad-message")


@pytest.mark.case("B08")
@pytest.mark.parametrize(
    "line",
    [
        b"GET /r/a HTTP/0.9",
        b"GET /r/a HTTP/1.2",
        b"GET /r/a HTTP/2.0",
        b"GET /r/a HTTP/9.9",
        b"GET /r/a http/1.1",
        b"GET /r/a",
    ],
)
async def test_another_version_of_http_is_refused(hostile: Hostile, line: bytes) -> None:
    host = hostile.host("localhost:{port}").encode()
    for request in (line + b"\r\n\r\n", line + b"\r\nHost: " + host + b"\r\n\r\n"):
        answer = await hostile.send(request)
        assert answer.status in (400, 505)
        assert hostile.arrived == []


@pytest.mark.case("B08")
async def test_a_request_without_host_is_refused_in_http_1_0_too(hostile: Hostile) -> None:
    """aiohttp's `request.host` would be the socket's own address."""
    for version in (b"1.0", b"1.1"):
        answer = await hostile.send(b"GET /r/a HTTP/" + version + b"\r\n\r\n")
        check_refused(hostile, answer, 400, "bad-message")


@pytest.mark.case("B09")
async def test_two_hosts_are_400(hostile: Hostile) -> None:
    for version, first, second in itertools.product(
        ("1.0", "1.1"), ("Host", "HOST"), ("Host", "hOST")
    ):
        for other in ("localhost:{port}", "evil.example", ""):
            hosts = f"{first}: localhost:{{port}}\r\n{second}: {other}\r\n"
            head = hostile.host(f"GET /r/a HTTP/{version}\r\n{hosts}\r\n")
            check_refused(hostile, await hostile.send(head.encode()), 400, "bad-message")


@pytest.mark.case("B10")
@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://evil.example/r/a", "localhost:{port}", 400),
        ("http://localhost:{port}/r/a", "evil.example", 421),
        ("http://localhost:{port}@evil.example/r/a", "localhost:{port}", 400),
        ("http://evil.example:{port}/_sidekey/status", "localhost:{port}", 400),
    ],
)
async def test_an_absolute_target_cannot_stand_in_for_host(
    hostile: Hostile, target: str, host: str, status: int
) -> None:
    """`request.host` of aiohttp, and with it many a check, follows the target before the field."""
    answer = await hostile.ask(f"GET {hostile.host(target)}", host=hostile.host(host))
    assert answer.status == status
    assert hostile.arrived == []
    assert b"evil" not in answer.content


@pytest.mark.case("B11")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
async def test_what_a_page_of_another_origin_sends_is_403(hostile: Hostile, method: str) -> None:
    """Surprise 20."""
    for origin in ("https://evil.example", "http://127.0.0.1:3000", "http://localhost.evil", "x"):
        fields = (f"origin: {origin}", "Content-Type: text/plain")
        answer = await hostile.ask(f"{method} /r/a", *fields, content=b"a=1")
        check_refused(hostile, answer, 403, "cross-site-refused")


@pytest.mark.case("B11")
async def test_a_form_post_of_another_site_is_403_on_every_route(hostile: Hostile) -> None:
    fields = (
        "Origin: https://evil.example",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Mode: navigate",
        "Content-Type: text/plain",
    )
    for path in ("/r/a", "/q/a", "/j/a", "/t/a", "/nope", "/_sidekey/status"):
        answer = await hostile.ask(f"POST {path}", *fields, content=b'{"a":1}')
        check_refused(hostile, answer, 403, "cross-site-refused")
    assert hostile.issuer.requests == []


@pytest.mark.case("B12")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_an_image_of_another_site_is_403(hostile: Hostile, method: str) -> None:
    """Browsers send no Origin with it; Sec-Fetch-Site alone betrays it."""
    for site, path in itertools.product(
        ("cross-site", "Cross-Site", "nonsense", ""), ("/r/a.png", "/_sidekey/status")
    ):
        fields = (f"sec-fetch-site: {site}", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image")
        answer = await hostile.ask(f"{method} {path}", *fields)
        check_refused(hostile, answer, 403, "cross-site-refused")


@pytest.mark.case("B13")
async def test_a_sandboxed_frame_and_a_local_file_are_403(hostile: Hostile) -> None:
    for path in ("/r/a", "/_sidekey/status"):
        answer = await hostile.ask(f"GET {path}", "Origin: null")
        check_refused(hostile, answer, 403, "cross-site-refused")


@pytest.mark.case("B14")
async def test_a_page_of_another_port_is_403(hostile: Hostile) -> None:
    """For a browser, all ports of localhost are one site."""
    for origin in ((), ("Origin: http://localhost:3000",)):
        answer = await hostile.ask("GET /r/a", "Sec-Fetch-Site: same-site", *origin)
        check_refused(hostile, answer, 403, "cross-site-refused")


@pytest.mark.case("B15")
async def test_the_address_bar_opens_no_upstream(hostile: Hostile) -> None:
    """A link in a mail or a document opens the address bar too."""
    answer = await hostile.ask("GET /r/a", *NAVIGATION)
    check_refused(hostile, answer, 403, "cross-site-refused")
    assert "browser_navigation" in answer.json()["fix"]


@pytest.mark.case("B15")
async def test_the_address_bar_opens_our_own_pages(hostile: Hostile) -> None:
    assert (await hostile.ask("GET /_sidekey/status", *NAVIGATION)).status == 200


@pytest.mark.case("B15")
async def test_the_address_bar_opens_an_upstream_where_that_is_allowed(attack: Attack) -> None:
    async with attack(listen="browser_navigation: true") as hostile:
        assert (await hostile.ask("GET /r/a", *NAVIGATION)).status == 200
        site = NAVIGATION[0].replace("none", "cross-site")
        assert (await hostile.ask("GET /r/a", site, *NAVIGATION[1:])).status == 403


@pytest.mark.case("B16")
async def test_a_preflight_is_answered_here_and_allows_nothing(hostile: Hostile) -> None:
    """Surprise 20."""
    for origin in ("https://evil.example", "null", "http://localhost:3000", None):
        fields = PREFLIGHT if origin is None else (f"Origin: {origin}", *PREFLIGHT)
        for path in ("/r/a", "/_sidekey/status", "/nope"):
            answer = await hostile.ask(f"OPTIONS {path}", *fields)
            check_refused(hostile, answer, 403, "cross-site-refused")


@pytest.mark.case("B17")
async def test_no_cors_field_of_the_upstream_reaches_a_client(hostile: Hostile) -> None:
    """With the upstream's `*`, every page could read answers that our credential bought."""
    for status in ("200 OK", "404 Not Found", "302 Found"):
        with hostile.upstream.answering(response(status, b"ok", *CORS, "X-Kept: 1")):
            answer = await hostile.ask("GET /r/a")
        check_no_cors(answer)
        assert (answer.content, answer.field("X-Kept")) == (b"ok", ["1"])


class Rebinding(AbstractResolver):
    """The name server of an attacker: every name is this machine now."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = ResolveResult(
            hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
        )
        return [found]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.case("B18")
@ON_TCP
@pytest.mark.parametrize("path", ["/r/a", "/t/a", "/_sidekey/status"])
async def test_a_rebound_name_is_421(hostile: Hostile, path: str) -> None:
    """A browser then takes us for the page's own origin: no Origin, and no Sec-Fetch on http."""
    connector = aiohttp.TCPConnector(resolver=Rebinding(), use_dns_cache=False)
    url = f"http://evil.example:{hostile.proxy.port}{path}"
    async with aiohttp.ClientSession(connector=connector) as page, page.get(url) as answer:
        assert answer.status == 421
        hostile.received.extend(await answer.read())
    assert hostile.arrived == []


@pytest.mark.case("B25")
@pytest.mark.parametrize("content_type", ACTIVE)
async def test_active_content_of_an_upstream_can_do_nothing(
    hostile: Hostile, content_type: str
) -> None:
    """All routes are one origin for a browser: a script of one API could call the others."""
    fields = (
        f"Content-Type: {content_type}",
        "Set-Cookie: a=b; Path=/",
        "Service-Worker-Allowed: /",
        "Refresh: 0; url=/q/a",
        "Clear-Site-Data: *",
        "Content-Security-Policy: script-src *",
    )
    with hostile.upstream.answering(response("200 OK", HTML, *fields)):
        answer = await hostile.ask("GET /r/a")
    assert (answer.status, answer.content) == (200, HTML)
    assert "sandbox; default-src 'none'" in answer.field("Content-Security-Policy")
    assert answer.field("X-Content-Type-Options") == ["nosniff"]
    assert answer.field("Cross-Origin-Resource-Policy") == ["same-origin"]
    for name in ("Set-Cookie", "Service-Worker-Allowed", "Refresh", "Clear-Site-Data"):
        assert answer.field(name) == []
