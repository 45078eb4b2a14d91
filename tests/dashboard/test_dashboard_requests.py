"""The list of the last requests, live in a browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import NEEDS_CHROMIUM
from dashboard_page import ROWS, cells, dashboard, is_live, row
from gateway_samples import keyed, tokened
from issuing import Issuer
from proxying import Sidekey, sidekey
from raw_client import ask, ask_raw, message
from raw_upstream import RawUpstream, answering, response

pytestmark = [NEEDS_CHROMIUM, pytest.mark.asyncio(loop_scope="module")]

WATCH_ROWS = """() => {
    window.appeared = {};
    new MutationObserver(() => {
        for (const row of document.querySelectorAll('#requests-list tr'))
            window.appeared[row.dataset.id] ??= performance.timeOrigin + performance.now();
    }).observe(document.querySelector('#requests-list'), {childList: true});
}"""
HIDE = """hidden => {
    Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
    document.dispatchEvent(new Event('visibilitychange'));
}"""
PATHS = "all => all.map(row => row.querySelector('.path').textContent)"
TRIES = 5


@asynccontextmanager
async def watching(
    browser: Any, folder: Path, *answers: Any, more: str = "", **options: Any
) -> AsyncIterator[tuple[RawUpstream, Sidekey, Any]]:
    """Serve an upstream `r` with a key, and look at it."""
    async with (
        answering(*answers) as upstream,
        sidekey(folder, f"{keyed(upstream.origin)}\n{more.format(upstream.origin)}") as proxy,
        dashboard(browser, proxy, **options) as page,
    ):
        yield upstream, proxy, page


async def test_a_request_is_shown_within_a_second(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        await page.evaluate(WATCH_ROWS)
        for number in range(TRIES):
            await ask(proxy, f"GET /r/{number}")
            await row(page, f"/r/{number}")
        appeared = await page.evaluate("appeared")
        lines = (await ask(proxy, "GET /_sidekey/api/requests")).json()["requests"]
    delays = [appeared[line["id"]] / 1000 - line["time"] for line in lines]
    assert len(delays) == TRIES
    assert min(delays) < 1, delays


async def test_a_row_tells_what_was_asked_and_what_came_of_it(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path, response("404 Not Found", b"no")) as (
        _upstream,
        proxy,
        page,
    ):
        await ask(proxy, "POST /r/a?code=7", content=b"x")
        found = await cells(await row(page, "/r/a"))
    assert (found["method"], found["upstream"], found["status"]) == ("POST", "r", "404")
    assert found["path-cell"] == "/r/a"
    assert all(found[time].endswith(("ms", "s")) for time in ("total", "token", "waited"))


async def test_a_refusal_shows_its_problem_and_no_upstream(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        await ask(proxy, "GET /nope/a")
        found = await cells(await row(page, "/nope/a"))
    assert (found["upstream"], found["status"], found["marks"]) == ("–", "404", "unknown-upstream")


async def test_a_local_answer_is_no_error_and_has_no_time_of_the_upstream(
    browser: Any, tmp_path: Path
) -> None:
    more = "  local_answers: [{{paths: [/login], json: {{idToken: placeholder}}}}]"
    async with watching(browser, tmp_path, more=more) as (_upstream, proxy, page):
        await ask(proxy, "POST /r/login", "Content-Length: 0")
        found = await row(page, "/r/login")
        told = await cells(found)
        is_failed = "failed" in (await found.get_attribute("class") or "")
        color = await found.locator(".mark").get_attribute("class")
        await ask(proxy, "GET /nope/a")
        await row(page, "/nope/a")
        await page.get_by_role("button", name="Errors only").click()
        assert await page.locator(ROWS).evaluate_all(PATHS) == ["/nope/a"]
    assert (told["method"], told["upstream"], told["status"]) == ("POST", "r", "200")
    assert (told["marks"], told["token"], told["waited"]) == ("answered", "–", "–")
    assert told["total"].endswith("ms")
    assert (is_failed, color) == (False, "mark answered")


async def test_a_renewed_and_replayed_request_is_marked(browser: Any, tmp_path: Path) -> None:
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
        dashboard(browser, proxy) as page,
    ):
        await ask(proxy, "GET /r/before")
        issuer.revoke()
        await ask(proxy, "GET /r/after")
        found = await cells(await row(page, "/r/after"))
    assert found["marks"].split() == ["renewed", "replayed"]


async def test_what_strangers_send_stays_text(browser: Any, tmp_path: Path) -> None:
    evil = "/r/<img/src=x/onerror=document.title='hit'>"
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        await ask_raw(proxy, message(f"GET {evil}", f"X-Note: {evil}", host=proxy.host))
        await ask_raw(proxy, message(f"GET /{evil}", host=proxy.host))
        found = await row(page, "<img")
        await found.locator("button").click()
        await page.locator("#detail h3").first.wait_for()
        images = await page.locator("main img, dialog img").count()
        title = await page.title()
    assert (images, title) == (0, "sidekey")


async def test_words_and_chips_filter(browser: Any, tmp_path: Path) -> None:
    more = "s: {{base_url: '{}', provider: {{type: api_key, keys: canary-key-2}}}}"
    async with watching(browser, tmp_path, more=more) as (_upstream, proxy, page):
        for path in ("/r/apple", "/r/pear", "/s/apple", "/nope/apple"):
            await ask(proxy, f"GET {path}")
        await row(page, "/nope/apple")
        shown = page.locator(ROWS)
        await page.get_by_label("Filter requests").fill("APPLE get")
        assert await shown.evaluate_all(PATHS) == ["/nope/apple", "/s/apple", "/r/apple"]
        await page.get_by_role("button", name="s", exact=True).click()
        assert await shown.evaluate_all(PATHS) == ["/s/apple"]
        await page.get_by_role("button", name="s", exact=True).click()
        await page.get_by_role("button", name="Errors only").click()
        assert await shown.evaluate_all(PATHS) == ["/nope/apple"]
        await ask(proxy, "GET /r/apple/late")
        await ask(proxy, "GET /nope/apple/late")
        await row(page, "/nope/apple/late")
        assert await shown.evaluate_all(PATHS) == ["/nope/apple/late", "/nope/apple"]
        await page.get_by_role("button", name="Errors only").click()
        assert len(await shown.evaluate_all(PATHS)) == 5
        await page.get_by_label("Filter requests").fill("nothing at all")
        await page.get_by_text("No request passes the filter.").wait_for()


async def test_while_paused_requests_are_counted_and_shown_later(
    browser: Any, tmp_path: Path
) -> None:
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        await ask(proxy, "GET /r/before")
        await row(page, "/r/before")
        await page.get_by_role("button", name="Pause").click()
        for number in range(3):
            await ask(proxy, f"GET /r/{number}")
        resume = page.get_by_role("button", name="Resume (3 new)")
        await resume.wait_for()
        assert await page.locator(ROWS).evaluate_all(PATHS) == ["/r/before"]
        await resume.click()
        await row(page, "/r/2")
        assert await page.locator(ROWS).count() == 4


async def test_clear_empties_the_list_and_new_requests_come(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        await ask(proxy, "GET /r/before")
        await row(page, "/r/before")
        await page.get_by_role("button", name="Clear").click()
        assert await page.locator(ROWS).count() == 0
        await ask(proxy, "GET /r/after")
        await row(page, "/r/after")
        assert await page.locator(ROWS).evaluate_all(PATHS) == ["/r/after"]


async def test_the_newest_200_requests_are_listed(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        for start in range(0, 240, 40):  # fewer than the stream leaves out
            await asyncio.gather(*(ask(proxy, f"GET /r/{start + n}") for n in range(40)))
            await page.get_by_text(f"{start + 40} since you came").wait_for()
        paths = await page.locator(ROWS).evaluate_all(PATHS)
    assert len(paths) == 200
    assert {f"/r/{number}" for number in range(40)}.isdisjoint(paths)


async def test_a_flood_is_counted(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        await asyncio.gather(*(ask(proxy, f"GET /r/{number}") for number in range(300)))
        await page.get_by_text(re.compile(r"^300 since you came, \d+ of them too fast")).wait_for()


async def test_a_hidden_page_hears_nothing_and_misses_nothing(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        await ask(proxy, "GET /r/before")
        await row(page, "/r/before")
        async with page.expect_event("requestfailed", lambda one: "/api/stream" in one.url):
            await page.evaluate(HIDE, arg=True)
        await page.get_by_text("Waiting until you look").wait_for()
        await ask(proxy, "GET /r/hidden")
        async with page.expect_request(re.compile(r"/api/stream\?since=[1-9]")):
            await page.evaluate(HIDE, arg=False)
        await is_live(page)
        await row(page, "/r/hidden")
        assert await page.locator(ROWS).evaluate_all(PATHS) == ["/r/hidden", "/r/before"]
        await page.get_by_role("button", name="Clear").click()
        await page.evaluate(HIDE, arg=True)
        await ask(proxy, "GET /r/later")
        await page.evaluate(HIDE, arg=False)
        await row(page, "/r/later")
        assert await page.locator(ROWS).evaluate_all(PATHS) == ["/r/later"]


async def test_requests_before_the_page_was_opened_are_there(browser: Any, tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        for number in range(3):
            await ask(proxy, f"GET /r/{number}")
        async with dashboard(browser, proxy) as page:
            await row(page, "/r/0")
            assert await page.locator(ROWS).evaluate_all(PATHS) == ["/r/2", "/r/1", "/r/0"]


async def test_an_empty_list_says_what_to_do(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (_upstream, _proxy, page):
        await page.get_by_text("No request yet.").wait_for()


@pytest.mark.parametrize("width", [360, 1280])
async def test_nothing_is_wider_than_the_page(browser: Any, tmp_path: Path, width: int) -> None:
    size = {"width": width, "height": 800}
    async with watching(browser, tmp_path, viewport=size) as (_upstream, proxy, page):
        await ask(proxy, f"GET /r/{'long-' * 60}")
        await ask(proxy, "GET /nope/a")
        await row(page, "/nope/a")
        for view in ("traffic", "explain", "configuration"):
            await page.evaluate("view => { location.hash = view; }", view)
            await page.locator(f"#{view}").wait_for()
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
