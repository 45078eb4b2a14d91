"""The sandbox's consent pages in a real browser: MiAuth, and the legacy app flow."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from misskey_client import send
from misskey_exchanges import post, raw

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

CHROMIUM = Path("/usr/bin/chromium")
playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed")

SESSION = "859b06af-c284-4096-a6d9-a20f9564f7fe"


class Callback:
    """The page that a browser is sent back to."""

    def __init__(self) -> None:
        self.targets: list[str] = []

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/cb", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.Response:
        self.targets.append(request.raw_path)
        return web.Response(text="callback ok")


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield await browser.new_page()
        await browser.close()


@pytest.fixture
async def callback() -> AsyncIterator[tuple[Callback, str]]:
    waiting = Callback()
    async with serve(waiting.application()) as origin:
        yield waiting, f"{origin}/cb"


async def check(origin: str) -> dict[str, str]:
    answer = await send(origin, raw(f"/api/miauth/{SESSION}/check", None, content_type=None))
    assert answer is not None
    return answer.json()


def consent_url(origin: str, **parameters: str) -> str:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    return f"{origin}/miauth/{SESSION}?{query}"


async def test_accept_issues_the_token_and_goes_back_with_the_session(
    page: Any, callback: tuple[Callback, str]
) -> None:
    waiting, url = callback
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        asked = consent_url(
            origin, name="T", callback=f"{url}?x=1", permission="write:notes,nonsense:perm"
        )
        await page.goto(asked)
        assert 'authorize "T" to access' in await page.inner_text("#question")
        assert await page.inner_text("#permission") == "write:notes"
        await page.click("text=Accept")
        await page.wait_for_url("**/cb*")
        sent = json.loads(sandbox.requests[-1].body)
        assert (await check(origin))["token"]
    assert waiting.targets == [f"/cb?x=1&session={SESSION}"]
    assert sent == {
        "session": SESSION,
        "name": "T",
        "permission": ["write:notes"],
        "i": sandbox.native_token,
    }


async def test_reject_asks_the_server_nothing(page: Any, callback: tuple[Callback, str]) -> None:
    waiting, url = callback
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        await page.goto(consent_url(origin, name="T", callback=url, permission="write:notes"))
        await page.click("text=Reject")
        assert await page.inner_text("#result") == "Access denied"
        assert await check(origin) == {"ok": False}
    assert sandbox.calls["/api/miauth/gen-token"] == 0
    assert waiting.targets == []


@pytest.mark.parametrize("target", ["javascript:document.title='ran'", "cb", "data:text/html,x"])
async def test_an_unusable_callback_is_not_followed_but_the_token_is_issued(
    page: Any, target: str
) -> None:
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        await page.goto(consent_url(origin, name="T", callback=target, permission="write:notes"))
        await page.click("text=Accept")
        await page.wait_for_selector("#result:visible")
        assert await page.inner_text("#result") == "An error has occurred"
        assert await page.title() != "ran"
        assert (await check(origin))["token"]


async def test_without_a_callback_the_page_says_that_access_is_granted(page: Any) -> None:
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        await page.goto(consent_url(origin, callback=""))
        assert "authorize this application" in await page.inner_text("#question")
        await page.click("text=Accept")
        await page.wait_for_selector("#result:visible")
        assert "Please go back to the application" in await page.inner_text("#result")
        assert (await check(origin))["token"]


async def test_the_callback_is_decoded_twice_and_its_own_session_is_replaced(
    page: Any, callback: tuple[Callback, str]
) -> None:
    waiting, url = callback
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        await page.goto(consent_url(origin, callback=f"{url}?session=old&a=b%20c"))
        await page.click("text=Accept")
        await page.wait_for_url("**/cb*")
    assert waiting.targets == [f"/cb?session={SESSION}&a=b+c"]


async def test_the_last_permission_parameter_counts_and_names_are_exact(page: Any) -> None:
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        repeated = consent_url(origin, permission="write:notes") + "&permission=read:account"
        await page.goto(repeated)
        assert await page.inner_text("#permission") == "read:account"
        await page.goto(consent_url(origin, permission="Write:Notes, read:account"))
        assert not await page.is_visible("#permission")


async def test_what_the_app_calls_itself_cannot_become_markup(page: Any) -> None:
    sandbox = MisskeySandbox()
    name = "</script><script>document.title='ran'</script>"
    async with serve(sandbox.application()) as origin:
        await page.goto(consent_url(origin, name=name))
        assert name in await page.inner_text("#question")
        assert await page.title() != "ran"


async def begin(origin: str, callback_url: str | None) -> tuple[str, str]:
    """A legacy app and a session of it: (secret, token)."""
    wish = {"name": "L", "description": "", "permission": ["write:notes"]}
    created = await send(origin, post("app/create", {**wish, "callbackUrl": callback_url}))
    assert created is not None
    secret = created.json()["secret"]
    session = await send(origin, post("auth/session/generate", {"appSecret": secret}))
    assert session is not None
    return secret, session.json()["token"]


async def user_key(origin: str, secret: str, token: str) -> str:
    key = {"appSecret": secret, "token": token}
    answer = await send(origin, post("auth/session/userkey", key))
    assert answer is not None
    return answer.body


async def test_the_legacy_page_puts_the_token_behind_the_callback_as_it_stands(
    page: Any, callback: tuple[Callback, str]
) -> None:
    waiting, url = callback
    async with serve(MisskeySandbox().application()) as origin:
        secret, token = await begin(origin, f"{url}?x=1")
        await page.goto(f"{origin}/auth/{token}")
        await page.click("text=Accept")
        await page.wait_for_url("**/cb*")
        assert "accessToken" in await user_key(origin, secret, token)
    assert waiting.targets == [f"/cb?x=1?token={token}"]


async def test_cancelling_the_legacy_page_leaves_the_session_pending(
    page: Any, callback: tuple[Callback, str]
) -> None:
    waiting, url = callback
    async with serve(MisskeySandbox().application()) as origin:
        secret, token = await begin(origin, url)
        await page.goto(f"{origin}/auth/{token}")
        await page.click("text=Cancel")
        assert await page.inner_text("#result") == "Access denied"
        assert "PENDING_SESSION" in await user_key(origin, secret, token)
    assert waiting.targets == []
