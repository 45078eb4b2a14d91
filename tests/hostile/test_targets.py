"""Request targets: refused, or below the base URL byte for byte."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest
from command_line import Home
from gateway_samples import keyed
from hostile_fixtures import Attack
from hostile_harness import Hostile
from raw_client import message, raw_client

NOWHERE = """
store: {type: memory}
upstreams: {r: {base_url: "http://127.0.0.1:9", provider: {type: api_key, keys: made-up}}}
"""
TOKEN_SPELLINGS = (
    "/oauth/token",
    "/oauth/token?a=1",
    "/oauth/%74oken",
    "/oauth/%74%6F%6b%65n",
    "/OAuth/Token",
    "/oauth/token/",
    "/oauth/TOKEN/?a=1",
    "//oauth/token",
    "/oauth//token",
    "/oauth/token//",
    "/oauth/token;x=1",
    "/oauth;x/token",
    "/oauth/%2574oken",
    "/oauth/token%3f",
    "/oauth/token%3Fx=1/y",
    "/oauth/token%253f",
    "/oauth/token%23x",
    "/oauth/token.",
    "/oauth%20/token%20./",
)


async def check_bad(hostile: Hostile, target: str, *statuses: int) -> None:
    """`target` is refused with one of `statuses`, by default 400, and is not repeated."""
    answer = await hostile.ask(f"GET {target}")
    assert answer.status in (statuses or (400,)), target
    assert answer.field("Content-Type") == ["application/problem+json"]
    if answer.status == 400:
        assert answer.field("Sidekey-Error") in (["bad-target"], ["bad-message"]), target
        assert target.encode() not in answer.content
    assert hostile.arrived == [], target


@pytest.mark.case("P01")
async def test_dot_segments_are_400(hostile: Hostile) -> None:
    for target in ("/r/../x", "/r/./x", "/r/a/..", "/r/.", "/r/..", "/r/a/../../q/x"):
        await check_bad(hostile, target)
    await check_bad(hostile, "/../r/x", 404)


@pytest.mark.case("P01")
async def test_dots_that_are_no_segment_arrive(hostile: Hostile) -> None:
    for path in ("/a..b", "/...", "/.well-known/x", "/a.", "/x?y=../z&./=%2e%2e/"):
        assert (await hostile.ask(f"GET /r{path}")).status == 200
        assert hostile.arrived[-1].target == f"/base/v1{path}"


@pytest.mark.case("P02")
async def test_encoded_dot_segments_are_400(hostile: Hostile) -> None:
    """yarl, as other URL libraries, turns `/base/%2e%2e/admin` into `/admin`."""
    for segment in ("%2e%2e", "%2E.", ".%2e", "%2E%2e", "%2e", "a/%2e%2e/%2E%2E"):
        await check_bad(hostile, f"/r/{segment}/admin")
        await check_bad(hostile, f"/r/x/{segment}")


@pytest.mark.case("P03")
async def test_encoded_slashes_are_400(hostile: Hostile) -> None:
    for path in ("..%2fadmin", "%2f..%2fadmin", "a%2Fb", "..%2F..%2f", "%2f", "a/%2f/b"):
        await check_bad(hostile, f"/r/{path}")


@pytest.mark.case("P04")
async def test_what_is_encoded_twice_or_thrice_is_400(hostile: Hostile) -> None:
    """One round of decoding let `%252e%252e` through in several proxies."""
    for path in ("%252e%252e%252fx", "%252e%252e/x", "%25252e%25252e/x", "a%252Fb", "%25252fx"):
        await check_bad(hostile, f"/r/{path}")


@pytest.mark.case("P05")
async def test_backslashes_are_400(hostile: Hostile) -> None:
    for path in ("..\\x", "..%5cx", "a\\b", "a%5Cb", "a%255cb", "%5c..%5cx"):
        await check_bad(hostile, f"/r/{path}")


@pytest.mark.case("P06")
async def test_path_parameters_hide_no_dots_and_no_route(hostile: Hostile) -> None:
    """Servlet containers drop `;...` before they read a segment."""
    for target in ("/r/..;/x", "/r/..;a=1/x", "/r/.;/x", "/r/%2e%2e;/x", "/r/..%3b/x"):
        await check_bad(hostile, target)
    for target in ("/r;a=1/x", "/r;/x", "/r%3b/x"):
        await check_bad(hostile, target, 404)


@pytest.mark.case("P07")
async def test_an_authority_in_the_path_leads_nowhere_else(hostile: Hostile) -> None:
    for target in ("//evil.example/x", "//evil.example:80/r/x", "///r/x"):
        await check_bad(hostile, target, 404)
    for target in ("/\\evil.example/x", "\\\\evil.example/x", "/r/\\evil.example"):
        await check_bad(hostile, target)
    for path in ("//evil.example/x", "/a//b/", "/@evil.example", "/http://evil.example/"):
        assert (await hostile.ask(f"GET /r{path}")).status == 200
        assert hostile.arrived[-1].target == f"/base/v1{path}"


@pytest.mark.case("P08")
async def test_a_routes_name_is_compared_as_it_is_written(hostile: Hostile) -> None:
    for target in ("/%72/x", "/%2572/x", "/R/x", "/%52/x"):
        await check_bad(hostile, target, 404)


@pytest.mark.case("P09")
async def test_an_encoded_slash_ends_no_routes_name(hostile: Hostile) -> None:
    for target in ("/r%2fx", "/r%2Fx", "/r%252fx", "/%2fr/x", "/r%2f..%2fr/x", "/r..;/x"):
        await check_bad(hostile, target, 404)


@pytest.mark.case("P10")
async def test_control_characters_other_bytes_and_malformed_escapes_are_400(
    hostile: Hostile,
) -> None:
    for path in ("a%00b", "a%0d%0ab", "a%0Ab", "a%7fb", "a%2500", "%zz", "a%", "a%4", "%%41", "é"):
        await check_bad(hostile, f"/r/{path}")
    for byte in (0x00, 0x01, 0x0B, 0x1F, 0x7F, 0x80, 0xA0, 0xFF):
        request = b"GET /r/a%cb HTTP/1.1\r\nHost: %s\r\n\r\n"
        answer = await hostile.send(request % (byte, hostile.proxy.host.encode()))
        assert answer.status == 400, byte
        assert hostile.arrived == []


@pytest.mark.case("P11")
async def test_a_fragment_is_400(hostile: Hostile) -> None:
    for target in ("/r/x#frag", "/r/x?a=1#frag", "/r#", "/r/#/../x"):
        await check_bad(hostile, target)


@pytest.mark.case("P12")
async def test_other_forms_of_targets_are_refused(hostile: Hostile) -> None:
    for target in ("file:///etc/passwd", "ftp://evil/x", "evil:80", "*", "r/a", "?a=1", "./r/a"):
        await check_bad(hostile, target, 400, 405)
    for line in ("CONNECT evil.example:443", "CONNECT /r/a", "OPTIONS *"):
        answer = await hostile.ask(line)
        assert answer.status in (400, 405)
        assert hostile.arrived == []


@pytest.mark.case("P13")
@pytest.mark.parametrize(
    "rest",
    [
        "/a%20b?q=a+b&x=%2B&y=%26&z=",
        "/a%20b?q=a+b&x=%2B&y=%7E&z=&&a=b%2Cc",
        "/a%7eb/%E6%97%A5?%E6%97=%zz&%=1&=&?&/..//",
        "//a//b/?x",
        "/a;v=1/b,c:d@e!$&'()*+=~",
        "/%25",
        "/A%2Bb+c?refreshtoken=a%2Bb%2Fc&x=%7E",
        "?a=1",
        "/",
        "",
    ],
)
async def test_path_and_query_arrive_byte_for_byte(hostile: Hostile, rest: str) -> None:
    assert (await hostile.ask(f"GET /r{rest}")).status == 200
    assert hostile.arrived[0].target == f"/base/v1{rest}"


@pytest.mark.case("P14")
async def test_encoded_slashes_pass_where_they_are_allowed_and_dots_do_not(attack: Attack) -> None:
    """GitLab and npm name things with `%2F`."""
    async with attack(more={"r": "encoded_slashes: pass"}) as hostile:
        for path in (
            "..%2fx",
            "%2e%2e%2fx",
            "a%2f..%2fx",
            "a%2F%2e%2E",
            "%252e%252e%252fx",
            "a%2f..;x%2fb",
            "a%5cb",
            "a%00b",
            "../x",
        ):
            await check_bad(hostile, f"/r/{path}")
        await check_bad(hostile, "/q/a%2Fb")
        for path in (
            "/a%2Fb",
            "/%2Fa",
            "/a%252Fb",
            "/group%2fproject/x%2Fy?z=%2F",
            "/%40scope%2fname",
        ):
            assert (await hostile.ask(f"GET /r{path}")).status == 200
            assert hostile.arrived[-1].target == f"/base/v1{path}"


@pytest.mark.case("P15")
async def test_a_route_is_a_whole_segment(hostile: Hostile) -> None:
    for target in ("/rx/a", "/r.x/a", "/rr", "/", "/%20r/a", "/r%20/a"):
        await check_bad(hostile, target, 404)
    for rest in ("", "?a=1", "/"):
        assert (await hostile.ask(f"GET /r{rest}")).status == 200
        assert hostile.arrived[-1].target == f"/base/v1{rest}"


@pytest.mark.case("P16")
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
async def test_the_token_endpoint_is_never_reachable_through_a_route(
    hostile: Hostile, method: str
) -> None:
    """A client could mint tokens there, and read them. Lenient servers know many spellings."""
    for spelling in TOKEN_SPELLINGS:
        answer = await hostile.ask(f"{method} /t{spelling}")
        hostile.check_refused(answer, 403, "not-allowed")
    assert hostile.issuer.requests == []


@pytest.mark.case("P16")
async def test_the_token_endpoint_of_another_upstream_is_closed_too(attack: Attack) -> None:
    """Two upstreams may share an origin, and only one of them need have tokens from there."""
    plain = keyed("ISSUER", name="plain", path="/base")
    async with attack(extra=plain) as hostile:
        for path in ("/v1/oauth/token", "/v1/OAuth/%74oken/", "/v1//oauth;x/token"):
            answer = await hostile.ask(f"POST /plain{path}")
            hostile.check_refused(answer, 403, "not-allowed")
        assert hostile.issuer.requests == []


@pytest.mark.case("P17")
async def test_a_target_of_8_191_bytes_passes(hostile: Hostile) -> None:
    target = "/r/" + "a" * 8188
    assert (await hostile.ask(f"GET {target}")).status == 200
    assert hostile.arrived[0].target == target.replace("/r", "/base/v1", 1)


@pytest.mark.case("P17")
@pytest.mark.parametrize("piece", ["a", "/a", "a;", "?", "&a=1", "%41"])
async def test_a_target_of_more_than_16_kib_is_414(hostile: Hostile, piece: str) -> None:
    for size in (16_400, 65_536):
        answer = await hostile.ask("GET /r/" + piece * (size // len(piece)))
        hostile.check_refused(answer, 414, "target-too-long")


@pytest.mark.case("P17")
async def test_long_targets_in_small_pieces_do_not_fill_the_memory(home: Home) -> None:
    """64 kB in segments of one byte, on 20 connections that stay open."""
    home.configure(NOWHERE)
    received = bytearray()
    async with home.serving() as process, AsyncExitStack() as stack:
        port = int((await process.address()).rpartition(":")[2])
        request = message("GET /r" + "/a" * 32768, host=f"127.0.0.1:{port}")
        connecting = [raw_client(port, received) for _ in range(20)]
        clients = [await stack.enter_async_context(client) for client in connecting]
        before = process.peak
        for client in clients:
            with suppress(ConnectionError):  # what is still on its way then is met by a reset
                for at in range(0, len(request), 64):
                    await client.send(request[at : at + 64])
                    await asyncio.sleep(0)  # reads what is there, before a reset takes it back
                await client.reader.read()
        assert process.peak - before < 8 * 2**20
    assert received.count(b"HTTP/1.") == received.count(b" 414 ") > 0, len(received)
