"""Cookies, where an upstream may have them: its own only, and only for its own route."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_samples import KEY, keyed
from proxying import sidekey
from raw_client import ask
from raw_upstream import answering, response

from proxy.gateway.cookies import local_cookie


@pytest.mark.parametrize(
    ("cookie", "local"),
    [
        ("a=b", "a=b; Path=/r"),
        ("a=b; Path=/", "a=b; Path=/r"),
        ("a=b; path=/v1", "a=b; Path=/r"),
        ("a=b; PATH = /v1/", "a=b; Path=/r"),
        ("a=b; Path=/v1/x/", "a=b; Path=/r/x/"),
        ("a=b; Path=/v10", "a=b; Path=/r"),
        ("a=b; Path=/other; Path=/v1/x", "a=b; Path=/r/x"),
        ("a=b; Path=x", "a=b; Path=/r"),
        ("a=b; Path", "a=b; Path=/r"),
        ("a=b; Domain=up.example; Secure", "a=b; Path=/r"),
        ("a=b;Secure ;HttpOnly; Max-Age=5; Partitioned", "a=b; HttpOnly; Max-Age=5; Path=/r"),
        ("a=b; SameSite=None", "a=b; Path=/r"),
        ("a=b; SameSite=Lax", "a=b; SameSite=Lax; Path=/r"),
        ('a="b c"; Expires=Thu, 01 Jan 1970 00:00:00 GMT',
         'a="b c"; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/r'),
        ("", "; Path=/r"),
    ],
)  # fmt: skip
def test_a_cookie_is_for_the_local_route_only(cookie: str, local: str) -> None:
    assert local_cookie(cookie, "/v1", "/r") == local


@pytest.mark.parametrize(
    ("cookie", "local"),
    [("a=b; Path=/", "/"), ("a=b; Path=/v1/x", "/x"), ("a=b; Path=/x", "/"), ("a=b", "/")],
)
def test_at_a_port_of_its_own_an_upstream_has_every_path(cookie: str, local: str) -> None:
    assert local_cookie(cookie, "/v1", "") == f"a=b; Path={local}"


def test_without_a_base_path_a_path_only_gets_the_prefix() -> None:
    assert local_cookie("a=b; Path=/x", "", "/r") == "a=b; Path=/r/x"
    assert local_cookie("a=b; Path=/", "", "/r") == "a=b; Path=/r"


async def test_cookies_pass_both_ways_where_they_may(tmp_path: Path) -> None:
    sent = response("200 OK", b"", "Set-Cookie: a=b; Path=/v1; Secure", "set-cookie: c=d")
    more = "cookies: pass"
    async with (
        answering(sent) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, path="/v1", more=more)) as proxy,
    ):
        answer = await ask(proxy, "GET /r/x", "Cookie: a=b; c=d", "Cookie2: $Version=1")
    assert answer.field("Set-Cookie") == ["a=b; Path=/r", "c=d; Path=/r"]
    assert upstream.last.field("Cookie") == ["a=b; c=d"]


async def test_an_injected_cookie_joins_the_clients_and_is_never_handed_out(tmp_path: Path) -> None:
    """A session that the upstream renews is a credential; what the client sends is replaced."""
    sent = response("200 OK", b"", "Set-Cookie: session=renewed", "Set-Cookie: lang=ja")
    more = 'cookies: pass\ninject: {in: cookie, name: session, format: "{token}"}'
    async with (
        answering(sent) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        answer = await ask(proxy, "GET /r/x", "Cookie: session=mine; lang=ja")
    assert answer.field("Set-Cookie") == ["lang=ja; Path=/r"]
    assert upstream.last.field("Cookie") == [f"lang=ja; session={KEY}"]


async def test_cookies_go_neither_way_unless_they_may(tmp_path: Path) -> None:
    async with (
        answering(response("200 OK", b"", "Set-Cookie: a=b")) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        answer = await ask(proxy, "GET /r/x", "Cookie: a=b")
    assert answer.field("Set-Cookie") == upstream.last.field("Cookie") == []
