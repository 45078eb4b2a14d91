"""Cookies of an upstream: one client's session is no other client's."""

from __future__ import annotations

import pytest
from hostile_fixtures import Attack
from raw_upstream import answering, response

SESSION = response("200 OK", b"ok", "Set-Cookie: session=theirs; Path=/base/v1")


@pytest.mark.case("R18")
@pytest.mark.parametrize("cookies", ["strip", "pass"])
async def test_a_cookie_of_the_upstream_comes_back_with_no_other_request(
    attack: Attack, cookies: str
) -> None:
    """aiohttp's default jar would hand one client's session to the next; it ignores addresses."""
    async with answering(SESSION) as upstream:
        named = upstream.origin.replace("127.0.0.1", "localhost")
        async with attack(origin=named, more={"r": f"cookies: {cookies}"}) as hostile:
            first = await hostile.ask("GET /r/a")
            for _ in range(2):
                assert (await hostile.ask("GET /r/b")).status == 200
            assert (await hostile.ask("GET /q/c")).status == 200
    expected = ["session=theirs; Path=/r"] if cookies == "pass" else []
    assert first.field("Set-Cookie") == expected
    assert [request.field("Cookie") for request in upstream.requests] == [[]] * 4


@pytest.mark.case("R18")
async def test_a_client_that_sends_its_cookie_gets_its_own_session_and_leaves_none_behind(
    attack: Attack,
) -> None:
    async with answering(SESSION) as upstream:
        named = upstream.origin.replace("127.0.0.1", "localhost")
        async with attack(origin=named, more={"r": "cookies: pass"}) as hostile:
            await hostile.ask("GET /r/a", "Cookie: session=mine")
            await hostile.ask("GET /r/b")
    assert [request.field("Cookie") for request in upstream.requests] == [["session=mine"], []]
