"""Group X: fields and credentials of requests. The oracles see to it that ours is there once."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from command_line import free_port
from gateway_samples import BEARER, HOP, KEY, keyed
from hostile_fixtures import Attack
from hostile_harness import Hostile
from proxying import BEGINNING, sidekey
from raw_client import ask, check_problem
from raw_upstream import answering

from proxy.events import RequestForwarded, RequestRefused
from proxy.gateway.forwarding import PROCESS

OURS = {"Host", "Sidekey-Hop", "Authorization"}
API_KEY = 'inject: {in: header, name: X-Api-Key, format: "{token}"}'
ACCESS_TOKEN = 'inject: {in: header, name: X-Access-Token, format: "{token}"}'


@pytest.mark.case("X01")
@pytest.mark.parametrize(
    "fields",
    [
        ["Authorization: Bearer dummy"],
        ["Authorization: Bearer dummy", "aUTHORIZATION: Basic dummy", "authorization: dummy"],
        ["Authorization:", "Authorization: Bearer dummy", "AUTHORIZATION:"],
        ["Authorization: Bearer dummy, Bearer dummy"],
        ["Proxy-Authorization: Bearer dummy", "Authorization: Bearer dummy"],
    ],
)
async def test_an_authorization_of_the_client_is_replaced(
    hostile: Hostile, fields: list[str]
) -> None:
    """Surprise 8."""
    for route in ("r", "t", "q"):
        assert (await hostile.ask(f"GET /{route}/a", *fields)).status == 200
    assert len(hostile.arrived) == 3
    assert not any(b"dummy" in connection for connection in hostile.upstream.connections)


@pytest.mark.case("X01")
async def test_an_authorization_with_a_space_in_its_name_is_refused(hostile: Hostile) -> None:
    assert (await hostile.ask("GET /r/a", "Authorization : Bearer dummy")).status == 400
    assert hostile.arrived == []


@pytest.mark.case("X02")
@pytest.mark.parametrize("name", ["X_Api_Key", "x-api-key", "X-Api_Key", "X_API-KEY", "x_api_key"])
async def test_a_key_field_is_dropped_in_every_spelling(hostile: Hostile, name: str) -> None:
    """CGI, WSGI and nginx read `X_Api_Key` as `X-Api-Key`; the oracles look for all of them."""
    assert (await hostile.ask("GET /r/a", f"{name}: dummy")).status == 200
    assert b"dummy" not in hostile.upstream.connections[0]


@pytest.mark.case("X02")
async def test_every_key_of_the_client_is_replaced_in_whatever_spelling(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=API_KEY)) as proxy,
    ):
        await ask(proxy, "GET /r/a", "x-api-KEY: dummy", "X-Api-Key: dummy", "X_Api_Key: dummy")
    assert upstream.last.field("X-Api-Key") == [KEY]
    assert b"dummy" not in upstream.last.head


@pytest.mark.case("X02", "X08", "X09")
@pytest.mark.parametrize(
    "field",
    [
        "X_Forwarded_For: 1.2.3.4",
        "X-Original-URL: /admin",
        "X-Original-Host: evil.example",
        "X_Rewrite_URL: /admin",
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X_Method_Override: DELETE",
        "Content_Length: 9",
        "Transfer_Encoding: chunked",
        "Proxy_Authorization: Basic eA==",
        "X_Hop: 1",
        "Sidekey-Client: dummy",
    ],
)
async def test_what_a_server_could_take_for_a_dropped_field_is_dropped_too(
    attack: Attack, field: str
) -> None:
    """CGI, WSGI and nginx fold `_` to `-`; frameworks let override fields beat the method."""
    async with attack(listen="front_proxy: true") as hostile:
        assert (await hostile.ask("GET /r/a", field, "Connection: X-Hop")).status == 200
        assert {name for name, _ in hostile.arrived[0].fields} == OURS


@pytest.mark.case("X03")
@pytest.mark.parametrize("named", ["Authorization", "authorization", "X-Api-Key", "Host"])
async def test_connection_cannot_take_our_own_fields_away(tmp_path: Path, named: str) -> None:
    """CVE-2021-33197: hop-by-hop fields have to go before the credential comes."""
    more = (
        'inject: [{in: header, name: Authorization, format: "Bearer {token}"},'
        ' {in: header, name: X-Api-Key, format: "{token}"}]'
    )
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        await ask(proxy, "GET /r/a", f"Connection: close, {named}, Sidekey-Hop")
    host = upstream.origin.removeprefix("http://")
    credentials = [("Authorization", BEARER), ("X-Api-Key", KEY)]
    assert upstream.last.fields == [("Host", host), HOP, *credentials]


@pytest.mark.case("X03")
@pytest.mark.parametrize("name", ["X-Access-Token", "x-access-token", "close, X-Access-Token"])
async def test_connection_cannot_remove_the_credential(tmp_path: Path, name: str) -> None:
    """CVE-2021-33197: hop-by-hop fields have to go before the credential comes."""
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=ACCESS_TOKEN)) as proxy,
    ):
        await ask(proxy, "GET /r/a", f"Connection: {name}", "X-Access-Token: dummy")
    assert upstream.last.field("X-Access-Token") == [KEY]


@pytest.mark.case("X03")
@pytest.mark.parametrize("route", ["r", "t", "q"])
async def test_connection_cannot_remove_what_a_request_needs(hostile: Hostile, route: str) -> None:
    answer = await hostile.ask(
        f"POST /{route}/a",
        "Connection: close, Authorization, X-Api-Key, Host",
        "Connection: Content-Length, content-type, Transfer-Encoding, Cache-Control",
        "Content-Type: text/plain",
        "Cache-Control: no-cache",
        content=b"abc",
    )
    assert answer.status == 200
    [request] = hostile.arrived
    assert request.content == b"abc"
    assert request.field("Content-Type") == ["text/plain"]
    assert request.field("Content-Length") == ["3"]
    assert request.field("Cache-Control") == ["no-cache"]
    assert request.field("Connection") == []


@pytest.mark.case("X04", "X08", "X09")
async def test_hop_by_hop_fields_and_what_tells_about_the_client_stay_behind(
    attack: Attack,
) -> None:
    """Surprise 20. Method overrides would beat a rule on methods."""
    sent = {
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "Keep-Alive": "timeout=5",
        "Proxy-Connection": "keep-alive",
        "Proxy-Authorization": "Basic eA==",
        "Proxy-Authenticate": "Basic",
        "TE": "trailers",
        "Trailer": "X-Sum",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AA",
        "Cookie": "a=b",
        "Referer": "http://127.0.0.1/?token=dummy",
        "Sec-Fetch-Mode": "cors",
        "X-HTTP-Method-Override": "DELETE",
        "X-HTTP-Method": "DELETE",
        "X-Method-Override": "DELETE",
        "X-Original-URL": "/admin",
        "X-Rewrite-URL": "/admin",
        "Forwarded": "for=1.2.3.4",
        "X-Forwarded-For": "1.2.3.4",
        "X-Real-IP": "1.2.3.4",
        "Via": "1.1 x",
        "Sidekey-Client": "dummy",
    }
    fields = [f"{name}: {value}" for name, value in sent.items()]
    async with attack(listen="front_proxy: true") as hostile:
        assert (await hostile.ask("GET /r/a", *fields, "X-Kept: 1")).status == 200
        [request] = hostile.arrived
    assert {name for name, _ in request.fields} == OURS | {"X-Kept"}


@pytest.mark.case("X08")
async def test_the_origin_of_a_page_that_may_call_stays_behind(attack: Attack) -> None:
    async with attack(listen="allowed_origins: ['http://localhost:5173']") as hostile:
        answer = await hostile.ask(
            "GET /r/a",
            "Origin: http://localhost:5173",
            "Referer: http://localhost:5173/?code=dummy",
            "Cookie: session=dummy",
        )
        assert answer.status == 200
        assert {name for name, _ in hostile.arrived[0].fields} == OURS


@pytest.mark.case("X09")
async def test_a_method_override_opens_no_method_that_is_not_allowed(attack: Attack) -> None:
    async with attack(more={"r": "allow: [{methods: [GET]}]"}) as hostile:
        assert (await hostile.ask("GET /r/a", "X-HTTP-Method-Override: DELETE")).status == 200
        assert (await hostile.ask("DELETE /r/a")).status in (403, 405)
        assert [request.method for request in hostile.arrived] == ["GET"]


LONG = {
    "129 fields": [f"X-{n}: 1" for n in range(129)],
    "5,000 fields": [f"X-{n}: 1" for n in range(5000)],
    "a field of 64 KiB": ["X: " + "a" * 65536],
    "a name of 64 KiB": ["X" * 65536 + ": a"],
    "64 KiB in all": [f"X-{n}: {'a' * 8000}" for n in range(9)],
}


@pytest.mark.case("X11")
@pytest.mark.parametrize("fields", LONG.values(), ids=LONG)
async def test_too_many_or_too_long_fields_are_431(hostile: Hostile, fields: list[str]) -> None:
    answer = await hostile.ask("GET /r/a", *fields)
    hostile.check_refused(answer, 431, "bad-message")
    assert hostile.upstream.connections == []


@pytest.mark.case("X11")
async def test_a_long_field_that_is_within_the_limits_arrives(hostile: Hostile) -> None:
    assert (await hostile.ask("GET /r/a", "X: " + "a" * 8191)).status == 200
    assert hostile.arrived[0].field("X") == ["a" * 8191]


@pytest.mark.case("X11")
async def test_a_target_that_is_too_long_is_414(hostile: Hostile) -> None:
    answer = await hostile.ask("GET /r/" + "a" * 65536)
    hostile.check_refused(answer, 414, "target-too-long")
    assert hostile.upstream.connections == []


@pytest.mark.case("X12")
@pytest.mark.parametrize(
    "value", ["東京 ü".encode(), b"\xff\xfe", b"caf\xe9", b"\xc3(", b"\xf4\x90\x80\x80"]
)
async def test_a_value_beyond_ascii_is_dropped_refused_or_untouched(
    hostile: Hostile, value: bytes
) -> None:
    host = b"Host: " + hostile.proxy.host.encode()
    request = b"GET /r/a HTTP/1.1\r\n" + host + b"\r\nX-Name: " + value + b"\r\n\r\n"
    answer = await hostile.send(request)
    assert answer.status in (200, 400)
    for arrived in hostile.arrived:
        assert [v.encode("latin-1") for v in arrived.field("X-Name")] in ([], [value])


@pytest.mark.case("X13")
async def test_an_upgrade_to_http_2_is_not_passed_on(hostile: Hostile) -> None:
    answer = await hostile.ask(
        "GET /r/a",
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABk",
    )
    assert answer.status == 200
    assert {name for name, _ in hostile.arrived[0].fields} == OURS


@pytest.mark.case("X13")
async def test_the_preface_of_http_2_is_refused(hostile: Hostile) -> None:
    answer = await hostile.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    hostile.check_refused(answer, 400, "bad-message")
    assert hostile.upstream.connections == []


@pytest.mark.case("X14")
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_compressed_content_arrives_byte_for_byte(hostile: Hostile, coding: str) -> None:
    """aiohttp would inflate it and leave Content-Encoding as it was."""
    content = gzip.compress(b"x" * 100_000, mtime=0)
    answer = await hostile.ask("POST /r/a", f"Content-Encoding: {coding}", content=content)
    assert answer.status == 200
    [request] = hostile.arrived
    assert (request.content, request.field("Content-Encoding")) == (content, [coding])


@pytest.mark.case("X15")
@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
@pytest.mark.parametrize("target", ["/r/a", "/", "/_sidekey/healthz"])
async def test_a_method_that_echoes_or_tunnels_is_405(
    hostile: Hostile, method: str, target: str
) -> None:
    """TRACE would echo the credential; CONNECT wants an authority, which the parser insists on."""
    answer = await hostile.ask(f"{method} {target}")
    assert answer.status in ((400, 405) if method == "CONNECT" else (405,))
    slugs = (["method-not-allowed"], ["bad-message"], ["bad-target"])
    assert answer.field("Sidekey-Error") in slugs
    assert hostile.upstream.connections == []


@pytest.mark.case("X15")
@pytest.mark.parametrize(
    "line",
    [
        "CONNECT evil.example:443",
        "CONNECT 127.0.0.1:22",
        "TRACK /r/a",
        "DEBUG /r/a",
        "get /r/a",
        "Get /r/a",
        "FOO /r/a",
        "G\u00e9T /r/a",
        "GET, /r/a",
    ],
)
async def test_an_unknown_method_is_refused(hostile: Hostile, line: str) -> None:
    answer = await hostile.ask(line)
    assert answer.status in (400, 405)
    slugs = (["method-not-allowed"], ["bad-message"], ["bad-target"])
    assert answer.field("Sidekey-Error") in slugs
    assert hostile.upstream.connections == []


@pytest.mark.case("X15")
@pytest.mark.parametrize("method", ["PURGE", "PROPFIND", "MKCOL", "SOURCE"])
async def test_a_rare_method_reaches_only_an_upstream_whose_rules_name_it(
    attack: Attack, method: str
) -> None:
    rule = f"allow: [{{methods: [GET, {method}]}}]"
    async with attack(more={"q": rule}) as hostile:
        refused = await hostile.ask(f"{method} /r/a")
        hostile.check_refused(refused, 405, "method-not-allowed")
        assert hostile.upstream.connections == []
        assert (await hostile.ask(f"{method} /q/a")).status == 200


@pytest.mark.case("X16")
async def test_a_request_that_comes_back_is_508_within_one_hop(tmp_path: Path) -> None:
    port = free_port()
    beginning = BEGINNING.replace("port: 0", f"port: {port}")
    upstreams = keyed(f"http://127.0.0.1:{port}", path="/r")
    async with sidekey(tmp_path, upstreams, beginning=beginning) as proxy:
        answer = await ask(proxy, "GET /r/a")
        assert (answer.status, answer.json()["type"]) == (508, "/_sidekey/problems/loop-detected")
        assert len(proxy.told(RequestRefused)) == len(proxy.told(RequestForwarded)) == 1


@pytest.mark.case("X16")
async def test_where_a_request_has_been_is_passed_on_so_that_a_longer_way_round_is_seen(
    tmp_path: Path,
) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(proxy, "GET /r/a", "Sidekey-Hop: first", "sidekey-hop: second, third")
        assert upstream.last.field("Sidekey-Hop") == [f"first, second, third, {PROCESS}"]
        back = await ask(proxy, "GET /r/a", f"Sidekey-Hop: {PROCESS}, other")
    check_problem(back, 508, "loop-detected")
    assert len(upstream.requests) == 1
