"""The cards of the upstreams: how each token is, and what a person can do about it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import NEEDS_CHROMIUM
from command_line import Home
from dashboard_page import cells, dashboard, row
from gateway_samples import keyed, tokened
from issuing import Issuer
from proxying import Sidekey, sidekey
from raw_client import ask
from raw_upstream import answering, json_response

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

pytestmark = [NEEDS_CHROMIUM, pytest.mark.asyncio(loop_scope="module")]

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}
REFUSAL = json_response(
    "400 Bad Request", json.dumps({"error": "invalid_client", "error_description": "no"}).encode()
)
CHANGED = "before => document.querySelector('.expiry').textContent !== before"


@asynccontextmanager
async def issuing(
    browser: Any, folder: Path, **options: Any
) -> AsyncIterator[tuple[Issuer, Sidekey, Any]]:
    """Serve an upstream `r` with a token of an hour that has been fetched, and look at it."""
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        sidekey(folder, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
        async with dashboard(browser, proxy, **options) as page:
            yield issuer, proxy, page


def card(page: Any, name: str = "r") -> Any:
    return page.get_by_role("listitem").filter(
        has=page.get_by_role("heading", name=name, exact=True)
    )


async def test_a_card_tells_where_an_upstream_is_and_how_its_token_is(
    browser: Any, tmp_path: Path
) -> None:
    async with issuing(browser, tmp_path) as (_issuer, proxy, page):
        text = await card(page).inner_text()
        shape = await card(page).locator(".state svg path").get_attribute("d")
        source = proxy.source("r")
    assert "Ready" in text
    assert shape
    assert proxy.url("r") in text
    assert source.provider.type in text
    assert "renews in" in text


async def test_the_expiry_counts_down(browser: Any, tmp_path: Path) -> None:
    async with issuing(browser, tmp_path) as (_issuer, _proxy, page):
        expiry = card(page).locator(".expiry")
        before = await expiry.inner_text()
        await page.wait_for_function(CHANGED, arg=before)
        after = await expiry.inner_text()
    assert before.startswith("expires in 59 m ")
    assert seconds_of(after) < seconds_of(before)


def seconds_of(countdown: str) -> int:
    minutes, _, seconds = countdown.removeprefix("expires in ").removesuffix(" s").partition(" m ")
    return int(minutes) * 60 + int(seconds)


async def test_renew_gets_another_token(browser: Any, tmp_path: Path) -> None:
    async with issuing(browser, tmp_path) as (issuer, _proxy, page):
        await card(page).get_by_role("button", name="Renew").click()
        await page.get_by_role("status").get_by_text("r: Renewed").wait_for()
        assert issuer.issued == 2
        assert await page.evaluate("document.activeElement.dataset.action") == "renew"


async def test_a_renewal_that_fails_says_why_and_what_to_do(browser: Any, tmp_path: Path) -> None:
    async with issuing(browser, tmp_path, expects="502") as (issuer, _proxy, page):
        issuer.token_answer = REFUSAL
        await card(page).get_by_role("button", name="Renew").click()
        await card(page).locator(".notice").wait_for()
        notice = await card(page).locator(".notice").inner_text()
        await card(page).locator(".error").wait_for()
        error = await card(page).locator(".error").inner_text()
    assert "invalid_client" in notice
    assert "invalid_client" in error
    assert "What to do" in error


async def test_an_error_leads_to_its_page(browser: Any, tmp_path: Path) -> None:
    issuer = Issuer(token_answer=REFUSAL)
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
        async with dashboard(browser, proxy) as page:
            blocked = card(page)
            await blocked.get_by_text("Blocked: the credential was refused").wait_for()
            link = await blocked.get_by_role("link").get_attribute("href")
            page_of_it = await ask(proxy, f"GET {link}")
    assert link == "/_sidekey/problems/grant-rejected"
    assert page_of_it.status == 200


async def test_forget_asks_first(browser: Any, tmp_path: Path) -> None:
    async with issuing(browser, tmp_path) as (issuer, proxy, page):
        question = page.get_by_role("dialog", name="Forget the token of r?")
        await card(page).get_by_role("button", name="Forget").click()
        await page.keyboard.press("Enter")  # what has the focus is the way out
        await question.wait_for(state="hidden")
        await ask(proxy, "GET /r/b")
        assert issuer.issued == 1
        await card(page).get_by_role("button", name="Forget").click()
        await question.get_by_role("button", name="Forget").click()
        await card(page).get_by_text("Idle until the first request").wait_for()
        assert await card(page).locator(".expiry:not(:empty)").count() == 0
        await ask(proxy, "GET /r/c")
        await card(page).get_by_text("Ready").wait_for()
        assert issuer.issued == 2


async def test_a_change_of_state_is_announced(browser: Any, tmp_path: Path) -> None:
    async with (
        answering(Issuer()) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
        dashboard(browser, proxy) as page,
    ):
        await card(page).get_by_text("Idle until the first request").wait_for()
        await ask(proxy, "GET /r/a")
        await page.get_by_role("status").get_by_text("r: Ready").wait_for()


async def test_who_waits_for_a_login_gets_a_link_to_it(browser: Any, tmp_path: Path) -> None:
    async with (
        serve(MisskeySandbox().application()) as origin,
        sidekey(tmp_path, f"m: {{preset: misskey, base_url: '{origin}'}}") as proxy,
        dashboard(browser, proxy) as page,
    ):
        await card(page, "m").get_by_text("Login required").wait_for()
        link = await card(page, "m").get_by_role("link", name="Log in to m").get_attribute("href")
        summary = await page.locator("#upstreams-summary").inner_text()
    assert link == "/_sidekey/login/m"
    assert summary == "1 of 1 need you"


async def test_log_in_leads_through_the_server_and_back_to_a_ready_upstream(
    browser: Any, tmp_path: Path
) -> None:
    async with (
        serve(MisskeySandbox().application()) as origin,
        sidekey(tmp_path, f"m: {{preset: misskey, base_url: '{origin}'}}") as proxy,
        dashboard(browser, proxy, expects=f"^asked {origin}/") as page,
    ):
        await page.get_by_role("link", name="Log in to m").click()
        await page.get_by_role("button", name="Continue to").click()
        await page.click("#accept")
        await page.get_by_role("link", name="See it in the dashboard").click()
        await card(page, "m").get_by_text("Ready").wait_for()
        await card(page, "m").get_by_text("@bob").wait_for()
        await ask(proxy, "POST /m/api/i", "Content-Type: application/json", content=b"{}")
        assert (await cells(await row(page, "/m/api/i")))["status"] == "200"


async def test_a_key_of_the_configuration_is_neither_renewed_nor_forgotten(
    browser: Any, tmp_path: Path
) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        dashboard(browser, proxy) as page,
    ):
        labels = await card(page).get_by_role("button").all_inner_texts()
    assert labels == ["Copy curl"]


async def test_the_curl_line_of_a_card_works_when_pasted(
    browser: Any, tmp_path: Path, home: Home
) -> None:
    async with issuing(browser, tmp_path, **CLIPBOARD) as (_issuer, _proxy, page):
        await card(page).get_by_role("button", name="Copy curl").click()
        await page.get_by_text("Copied", exact=True).first.wait_for()
        answered = await home.shell(await page.evaluate("() => navigator.clipboard.readText()"))
    assert answered.code == 0
    assert answered.out.endswith("ok")
