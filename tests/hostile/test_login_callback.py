"""The one address to which a page of another site may lead a browser: where a sign-in comes back.

Whatever is not exactly that navigation is refused as anywhere else, and what is does nothing
without the state of the sign-in under way.
"""

from __future__ import annotations

import itertools

import pytest
from hostile_fixtures import Attack
from hostile_harness import Hostile
from raw_client import RawAnswer, message

SITE = "Sec-Fetch-Site: cross-site"
MODE = "Sec-Fetch-Mode: navigate"
DEST = "Sec-Fetch-Dest: document"
LED_HERE = (SITE, MODE, DEST)
CALLBACK = "/_sidekey/login/r/callback"


def check_refused(hostile: Hostile, answer: RawAnswer) -> None:
    hostile.check_refused(answer, 403, "cross-site-refused")
    assert not [name for name, _ in answer.fields if name.lower().startswith("access-control-")]


@pytest.mark.case("B15")
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_browser_may_be_led_back_from_a_sign_in_page(hostile: Hostile, site: str) -> None:
    for query in ("", "?session=859b06af-c284-4096-a6d9-a20f9564f7fe", "?session="):
        answer = await hostile.ask(f"GET {CALLBACK}{query}", f"Sec-Fetch-Site: {site}", MODE, DEST)
        assert answer.status == 400
        assert b"Not this sign-in" in answer.content
        assert hostile.arrived == []


@pytest.mark.case("B15")
async def test_no_other_address_is_open_to_other_sites(hostile: Hostile) -> None:
    for path in (
        "/_sidekey/login/r",
        "/_sidekey/login/r/",
        "/_sidekey/login/r/cancel",
        "/_sidekey/login/r/callback/",
        "/_sidekey/login/r/callback/x",
        "/_sidekey/login/r/callback;x",
        "/_sidekey/login/r/Callback",
        "/_sidekey/login/r/call%62ack",
        "/_sidekey/login//callback",
        "/_sidekey/login/callback",
        "/_sidekey/login/r/x/callback",
        "/_sidekey/login/../callback",
        "/_sidekey/login/%2e%2e/callback",
        "/_sidekey/login/R/callback",
        "/_sidekey/login/-r/callback",
        "/_sidekey/login/r%0a/callback",
        "/_sidekey/login/" + "r" * 64 + "/callback",
        "//_sidekey/login/r/callback",
        "/x/_sidekey/login/r/callback",
        "/r/_sidekey/login/r/callback",
        "/_sidekey/api/upstreams/r/login",
        "/_sidekey/status?/_sidekey/login/r/callback",
        "/_sidekey/",
        "/r/callback",
        "/r/a",
    ):
        check_refused(hostile, await hostile.ask(f"GET {path}", *LED_HERE))


@pytest.mark.case("B11", "B15")
@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_only_a_get_may_come_back(hostile: Hostile, method: str) -> None:
    for fields in (LED_HERE, (*LED_HERE, "Content-Length: 0")):
        check_refused(hostile, await hostile.ask(f"{method} {CALLBACK}", *fields))


@pytest.mark.case("B12", "B13", "B14")
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_only_a_window_that_is_led_here_may_come_back(hostile: Hostile, site: str) -> None:
    """Frames, fetches, images and prefetches are of pages that stay, and could try and measure."""
    field = f"Sec-Fetch-Site: {site}"
    modes = ("navigate", "cors", "no-cors", "same-origin", "websocket", "Navigate", "", "x")
    dests = ("document", "iframe", "frame", "embed", "object", "image", "empty", "", "Document")
    for mode, dest in itertools.product(modes, dests):
        if (mode, dest) != ("navigate", "document"):
            fields = (field, f"Sec-Fetch-Mode: {mode}", f"Sec-Fetch-Dest: {dest}")
            check_refused(hostile, await hostile.ask(f"GET {CALLBACK}", *fields))
    for fields in (
        (field,),
        (field, MODE),
        (field, DEST),
        (field, MODE, DEST, DEST),
        (field, MODE, MODE, DEST),
        (field, MODE, "Sec-Fetch-Mode: cors", DEST),
        (field, field, MODE, DEST),
        (field, "Sec-Fetch-Site: none", MODE, DEST),
        (field, MODE, DEST, "Sec-Purpose: prefetch"),
        (field, MODE, DEST, "Sec-Purpose: prefetch;prerender"),
        ("Sec-Fetch-Site: cross-site, none", MODE, DEST),
        ("Sec-Fetch-Site: nonsense", MODE, DEST),
        ("Sec-Fetch-Site:", MODE, DEST),
    ):
        check_refused(hostile, await hostile.ask(f"GET {CALLBACK}", *fields))


@pytest.mark.case("B11", "B13")
async def test_a_navigation_that_names_an_origin_is_no_return(hostile: Hostile) -> None:
    """Browsers send none with a GET that navigates."""
    own = hostile.host("Origin: http://localhost:{port}")
    for origin in ("Origin: null", "Origin: https://evil.example", own, "Origin:"):
        check_refused(hostile, await hostile.ask(f"GET {CALLBACK}", *LED_HERE, origin))


@pytest.mark.case("B01", "B18")
async def test_the_host_is_checked_before(hostile: Hostile) -> None:
    for host in ("evil.example", "evil.example:{port}", "localhost.evil.com:{port}"):
        answer = await hostile.ask(f"GET {CALLBACK}", *LED_HERE, host=hostile.host(host))
        hostile.check_refused(answer, 421, "host-refused")


@pytest.mark.case("B19")
async def test_other_proxies_are_refused_there_too(hostile: Hostile) -> None:
    answer = await hostile.ask(f"GET {CALLBACK}", *LED_HERE, "X-Forwarded-For: 203.0.113.7")
    hostile.check_refused(answer, 403, "peer-refused")


@pytest.mark.case("B15")
async def test_what_was_let_in_there_is_let_in_nowhere_else(hostile: Hostile) -> None:
    """The fast lane knows heads without their targets: that of a return is none to know."""
    async with hostile.connect() as browser:
        for path, status in ((CALLBACK, 400), ("/r/a", 403), (CALLBACK, 400), ("/r/a", 403)):
            await browser.send(message(f"GET {path}", *LED_HERE, host=hostile.proxy.host))
            assert (await browser.answer()).status == status
    assert hostile.arrived == []


@pytest.mark.case("B15", "B20", "B21")
@pytest.mark.parametrize(
    ("top", "shown", "status"),
    [
        ("clients: {keys: KEY}", "Authorization: Bearer KEY", 401),
        ("clients: {header: {name: X-Us, value: KEY}}", "X-Us: KEY", 412),
    ],
)
async def test_without_the_client_key_a_return_learns_nothing(
    attack: Attack, top: str, shown: str, status: int
) -> None:
    key = "canary-of-a-client-key"
    control = (shown.replace("KEY", key),)
    async with attack(top=top.replace("KEY", key), control=control) as hostile:
        known = await hostile.ask(f"GET {CALLBACK}", *LED_HERE)
        unknown = await hostile.ask("GET /_sidekey/login/nope/callback", *LED_HERE)
        assert (known.status, unknown.status) == (400, 400)
        assert known.content.replace(b"/r", b"/nope").replace(b"to r", b"to nope") == (
            unknown.content
        )
        for path in ("/r/a", "/_sidekey/status", "/_sidekey/api/upstreams/r/login"):
            assert (await hostile.ask(f"GET {path}")).status == status
        assert hostile.arrived == []
