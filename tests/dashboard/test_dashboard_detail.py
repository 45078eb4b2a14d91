"""The panel that shows all that is known of a request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import NEEDS_CHROMIUM
from command_line import Home
from dashboard_page import dashboard, focused, opened, row
from gateway_samples import keyed
from proxying import Sidekey, sidekey
from raw_client import ask
from raw_upstream import RawUpstream, answering, json_response, response

pytestmark = [NEEDS_CHROMIUM, pytest.mark.asyncio(loop_scope="module")]

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}
PASTED = "() => navigator.clipboard.readText()"
PHONE = {"viewport": {"width": 360, "height": 800}}
ANSWER = json_response("200 OK", b'{"said":"canary-key-1","n":12345678901234567890}')


@asynccontextmanager
async def watching(
    browser: Any, folder: Path, *answers: bytes, **options: Any
) -> AsyncIterator[tuple[RawUpstream, Sidekey, Any]]:
    """Serve an upstream `r` with a key, and look at it."""
    async with (
        answering(*answers) as upstream,
        sidekey(folder, keyed(upstream.origin)) as proxy,
        dashboard(browser, proxy, **options) as page,
    ):
        yield upstream, proxy, page


async def test_details_show_fields_times_and_story_without_secrets(
    browser: Any, tmp_path: Path
) -> None:
    answer = response("200 OK", b"ok", "X-Session-Token: canary-of-the-answer", "X-Plain: yes")
    async with watching(browser, tmp_path, answer) as (_upstream, proxy, page):
        await ask(proxy, "GET /r/a?code=7&access_token=canary-token", "X-Note: canary-key-1!")
        panel = await opened(page, "/r/a")
        text = await panel.inner_text()
        times = await panel.locator(".times dt").all_inner_texts()
    assert "/r/a?code=7&access_token=***" in text
    assert "***!" in text
    assert "X-Plain" in text
    assert "canary" not in text
    assert times == [
        "Waiting for a token", "Until the upstream answered", "Everything else", "In all",
    ]  # fmt: skip
    assert "What happened" in text
    assert "Content: not recorded" in text


async def test_a_refusal_says_why_and_what_to_do(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        await ask(proxy, "GET /nope/a")
        panel = await opened(page, "/nope/a")
        text = await panel.locator(".error").inner_text()
        link = await panel.get_by_role("link").get_attribute("href")
    assert "What to do" in text
    assert link == "/_sidekey/problems/unknown-upstream"


async def test_the_copied_curl_line_gets_the_same_answer(
    browser: Any, tmp_path: Path, home: Home
) -> None:
    async with watching(browser, tmp_path, ANSWER, **CLIPBOARD) as (upstream, proxy, page):
        await ask(proxy, "GET /r/a%20b?code=7&x='y'", "X-Note: it's")
        panel = await opened(page, "/r/a%20b")
        await panel.get_by_role("button", name="Copy as curl").click()
        await panel.get_by_role("button", name="Copied").wait_for()
        line = await page.evaluate(PASTED)
        answered = await home.shell(line)
        first, second = upstream.requests
    assert (answered.code, answered.out.rpartition("\n")[2]) == (
        0,
        ANSWER.decode().rpartition("\n")[2],
    )
    assert (first.line, first.field("X-Note")) == (second.line, second.field("X-Note"))


async def test_a_get_is_replayed_at_once_and_shown(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (upstream, proxy, page):
        await ask(proxy, "GET /r/a")
        panel = await opened(page, "/r/a")
        first = await panel.locator("code").first.inner_text()
        await panel.get_by_role("button", name="Replay").click()
        await page.wait_for_function(
            "id => !document.querySelector('#detail-body').textContent.includes(id)", arg=first
        )
        await page.locator("#requests-list tr").nth(1).wait_for()
        assert len(upstream.requests) == 2


async def test_another_method_is_repeated_only_if_somebody_says_so(
    browser: Any, tmp_path: Path
) -> None:
    async with watching(browser, tmp_path) as (upstream, proxy, page):
        await ask(proxy, "DELETE /r/a")
        panel = await opened(page, "/r/a")
        question = page.get_by_role("dialog", name="Repeat this DELETE?")
        await panel.get_by_role("button", name="Replay").click()
        await question.get_by_role("button", name="Cancel").click()
        assert await question.count() == 0
        assert len(upstream.requests) == 1
        await panel.get_by_role("button", name="Replay").click()
        await question.get_by_role("button", name="Repeat").click()
        await page.locator("#requests-list tr").nth(1).wait_for()
        assert [one.line for one in upstream.requests] == [b"DELETE /a HTTP/1.1"] * 2


async def test_a_local_answer_says_who_gave_it_and_is_repeated_here(
    browser: Any, tmp_path: Path
) -> None:
    more = "local_answers: [{methods: [DELETE], paths: [/session], json: {}}]"
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
        dashboard(browser, proxy) as page,
    ):
        await ask(proxy, "DELETE /r/session")
        panel = await opened(page, "/r/session")
        text = await panel.inner_text()
        times = await panel.locator(".times dd").all_inner_texts()
        await panel.get_by_role("button", name="Replay").click()
        question = page.get_by_role("dialog", name="Repeat this DELETE?")
        asked = await question.inner_text()
        await question.get_by_role("button", name="Repeat").click()
        await page.locator("#requests-list tr").nth(1).wait_for()
    assert "sidekey answered it itself with 200, as upstreams.r.local_answers[0] says." in text
    assert "200 (answered)" in text
    assert times[:2] == ["–", "–"]
    assert "sidekey answered it itself, and does so again" in asked
    assert upstream.requests == []


async def test_what_cannot_be_replayed_says_why(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        await ask(proxy, "POST /r/a", content=b"x")
        panel = await opened(page, "/r/a")
        await panel.get_by_text("It cannot be replayed: its content was not recorded.").wait_for()
        assert await panel.get_by_role("button", name="Replay").count() == 0


async def test_contents_are_recorded_after_a_warning_only(browser: Any, tmp_path: Path) -> None:
    content = b'{"text": "a note with canary-key-1"}'
    async with watching(browser, tmp_path, ANSWER) as (_upstream, proxy, page):
        switch = page.get_by_role("switch", name="Record contents")
        assert await switch.get_attribute("aria-checked") == "false"
        await switch.click()
        question = page.get_by_role("dialog", name="Record contents?")
        await question.get_by_role("button", name="Cancel").click()
        assert await switch.get_attribute("aria-checked") == "false"
        await switch.click()
        await question.get_by_role("button", name="Record").click()
        await page.locator("#recording[aria-checked=true]").wait_for()
        await ask(proxy, "POST /r/a", "Content-Type: application/json", content=content)
        panel = await opened(page, "/r/a")
        shown = await panel.locator("pre").all_inner_texts()
    assert json.loads(shown[0]) == {"text": "a note with ***"}
    assert shown[1] == '{"said":"***","n":12345678901234567890}'


async def test_escape_closes_the_panel_and_the_focus_goes_back(
    browser: Any, tmp_path: Path
) -> None:
    async with watching(browser, tmp_path) as (_upstream, proxy, page):
        await ask(proxy, "GET /r/a")
        await ask(proxy, "GET /r/b")
        await row(page, "/r/b")
        await page.get_by_role("button", name="Errors only").focus()
        for _ in range(2):
            await page.keyboard.press("Tab")
        assert await focused(page) == "/r/b"
        await page.keyboard.press("ArrowDown")
        assert await focused(page) == "/r/a"
        await page.keyboard.press("Enter")
        await page.get_by_role("dialog", name="GET /r/a").wait_for()
        assert await focused(page) == "detail-title"
        await page.keyboard.press("Tab")
        assert await focused(page) == "detail-close"
        await page.keyboard.press("Escape")
        assert await page.get_by_role("dialog").count() == 0
        assert await focused(page) == "/r/a"
        await page.keyboard.press("Enter")
        await opened(page, "/r/b")
        await page.keyboard.press("Escape")
        await page.locator(".path:focus").filter(has_text="/r/b").wait_for()


async def test_on_a_phone_the_panel_takes_the_whole_screen(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path, **PHONE) as (_upstream, proxy, page):
        await ask(proxy, "GET /r/a")
        panel = await opened(page, "/r/a")
        box = await panel.bounding_box()
        assert await page.evaluate("document.querySelector('#detail').matches(':modal')")
        await page.keyboard.press("Escape")
        assert await page.get_by_role("dialog").count() == 0
        assert await focused(page) == "/r/a"
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 360, 800)


async def test_a_request_that_is_forgotten_says_so(browser: Any, tmp_path: Path) -> None:
    async with watching(browser, tmp_path, expects="404") as (_upstream, proxy, page):
        await ask(proxy, "GET /r/first")
        await row(page, "/r/first")
        await page.get_by_role("button", name="Pause").click()
        for number in range(201):
            await ask(proxy, f"GET /r/{number}")
        await (await row(page, "/r/first")).locator("button").click()
        await page.get_by_role("dialog", name="Request").get_by_text("no longer").wait_for()
