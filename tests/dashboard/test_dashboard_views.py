"""Charts, explanations and the configuration in force, in a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import NEEDS_CHROMIUM
from dashboard_page import dashboard, focused, opened
from gateway_samples import keyed, tokened
from issuing import Issuer
from proxying import Sidekey, sidekey
from raw_client import ask
from raw_upstream import answering, json_response

pytestmark = [NEEDS_CHROMIUM, pytest.mark.asyncio(loop_scope="module")]

DENY = "deny: [{paths: ['/secret/**']}]"


@asynccontextmanager
async def watching(
    browser: Any, folder: Path, fragment: str = "", *, more: str = ""
) -> AsyncIterator[tuple[Sidekey, Any]]:
    """Serve an upstream `r` with a key, and look at it."""
    async with (
        answering() as upstream,
        sidekey(folder, keyed(upstream.origin, more=more)) as proxy,
        dashboard(browser, proxy, fragment=fragment) as page,
    ):
        yield proxy, page


async def explained(page: Any, method: str, url: str) -> str:
    """Ask for an explanation; return its text."""
    await page.get_by_label("Method").select_option(method)
    await page.get_by_role("textbox", name="URL").fill(url)
    await page.get_by_role("button", name="Explain", exact=True).click()
    await page.locator("#explanation:not([aria-busy]) h3, #explanation .error").first.wait_for()
    text: str = await page.locator("#explanation").inner_text()
    return text


async def test_an_explanation_says_where_a_request_would_go_and_with_what(
    browser: Any, tmp_path: Path
) -> None:
    async with watching(browser, tmp_path, "#explain") as (proxy, page):
        text = await explained(page, "GET", "/r/a?code=7")
        told = (await ask(proxy, "GET /_sidekey/api/explain?method=GET&url=/r/a?code=7")).json()
        requests = (await ask(proxy, "GET /_sidekey/api/requests")).json()["requests"]
    assert "It would be sent to r." in text
    assert f"GET {told['request']['url']}" in text
    assert "Bearer ***" in text
    for verdict in told["verdicts"]:
        assert verdict["why"] in text
    assert requests == [], "it was sent"


async def test_an_explanation_says_why_a_request_would_be_refused(
    browser: Any, tmp_path: Path
) -> None:
    async with watching(browser, tmp_path, "#explain", more=DENY) as (_proxy, page):
        text = await explained(page, "POST", "/r/secret/a")
        link = page.locator("#explanation").get_by_role("link")
        assert await link.get_attribute("href") == "/_sidekey/problems/not-allowed"
    assert "It would be refused with 403" in text
    assert "upstreams.r.deny[0]" in text


async def test_details_lead_to_the_explanation(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (proxy, page):
        await ask(proxy, "DELETE /r/a?code=7")
        panel = await opened(page, "/r/a")
        await panel.get_by_role("button", name="Explain").click()
        await page.get_by_text("It would be sent to r.").wait_for()
        assert await page.get_by_role("textbox", name="URL").input_value() == "/r/a?code=7"
        assert await page.get_by_label("Method").input_value() == "DELETE"
        assert await page.get_by_role("dialog").count() == 0
        assert await focused(page) == "explain-title"


async def test_the_configuration_tells_each_value_and_where_it_came_from(
    browser: Any, tmp_path: Path
) -> None:
    async with watching(browser, tmp_path, "#configuration") as (proxy, page):
        rows = page.locator("#settings-list tr")
        await rows.first.wait_for()
        shown = await rows.evaluate_all(TEXTS)
        file = await page.locator("#settings-file").inner_text()
        told = (await ask(proxy, "GET /_sidekey/api/config")).json()["settings"]
        await page.get_by_role("checkbox", name="Show defaults").check()
        everything = await rows.count()
        await page.get_by_role("searchbox", name="Filter settings").fill("KEYS file")
        none = await rows.count()
        await page.get_by_role("searchbox", name="Filter settings").fill("KEYS line")
        found = await rows.evaluate_all(TEXTS)
    assert file == str(tmp_path / "sidekey.yaml")
    assert ["upstreams.r.provider.keys[0]", "***"] in [texts[:2] for texts in shown]
    assert all(re.match(r"line \d+, column \d+", origin) for *_, origin in shown)
    assert (everything, none) == (len(told), 0)
    assert [path for path, *_ in found] == ["upstreams.r.provider.keys[0]"]


TEXTS = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"


async def test_charts_have_the_same_in_words(browser: Any, tmp_path: Path) -> None:
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
        dashboard(browser, proxy) as page,
    ):
        for path in ("/r/a", "/r/b", "/nope/a", "/nope/b", "/nope/c"):
            await ask(proxy, f"GET {path}")
        await page.get_by_role(
            "img", name=re.compile("^Errors, last 5 minutes: errors 3")
        ).wait_for()
        tokens = page.get_by_role("img", name=re.compile("^Tokens, .*renewals 1, failures 0"))
        await tokens.wait_for()
        latency = page.get_by_role(
            "img", name=re.compile(r"^Latency, .*p50 [\d.]+ m?s, p95 .*p99 ")
        )
        await latency.wait_for()
        await page.get_by_role("radio", name="1 h").check()
        await page.get_by_role("img", name=re.compile("^Errors, last 60 minutes")).wait_for()
        bars = await page.locator("#chart-errors path.bars").get_attribute("d")
    assert bars


async def test_failures_of_the_token_endpoint_are_counted(browser: Any, tmp_path: Path) -> None:
    issuer = Issuer(token_answer=json_response("400 Bad Request", b'{"error":"invalid_client"}'))
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
        dashboard(browser, proxy) as page,
    ):
        await ask(proxy, "GET /r/a")
        await page.get_by_role("img", name=re.compile("renewals 0, failures 1")).wait_for()


async def test_the_arrow_keys_look_back_in_the_charts(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (proxy, page):
        await ask(proxy, "GET /nope/a")
        await page.get_by_role("img", name=re.compile("^Errors, .*errors 1")).wait_for()
        await page.get_by_role("radio", name="5 min", exact=True).focus()
        await page.keyboard.press("Tab")
        assert await focused(page) == "look-back"
        for _ in range(10):
            await page.keyboard.press("ArrowLeft")
        await page.locator("#chart-errors .crosshair").wait_for(state="attached")
        said = await page.locator("#look-back").get_attribute("aria-valuetext")
        await page.keyboard.press("Tab")
        await page.locator("#chart-errors .crosshair").wait_for(state="detached")
    assert re.match(r"\d\d:\d\d:\d\d: .*Errors: errors 0", said)


async def test_the_pointer_reads_off_a_chart(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (_proxy, page):
        await page.locator("#chart-rate svg").hover()
        await page.locator("#chart-rate .crosshair").wait_for(state="attached")
        assert re.search(r"\d\d:\d\d:\d\d", await page.locator("#chart-rate .scale").inner_text())
