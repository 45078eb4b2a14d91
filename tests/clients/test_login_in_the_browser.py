"""Signing in with Chromium: our page, the server's page, and back to the first request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from browser import NEEDS_CHROMIUM, chromium
from canaries import holds_canary
from proxying import BEGINNING, Sidekey, sidekey

from proxy.credentials import login
from proxy.events import RequestRefused, SignInBegun
from proxy.observe import sign_ins
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

pytestmark = NEEDS_CHROMIUM

PHANTOM = "canary-of-a-phantom-key"
SHARED = "canary-of-a-shared-header"
READ = "answer => answer.text()"
FRAME = """url => new Promise(done => {
    const frame = document.createElement('iframe');
    frame.onload = () => done(frame.contentDocument?.body?.innerText ?? '');
    frame.src = url;
    document.body.append(frame);
})"""
IMAGE = """url => new Promise(done => {
    const image = new Image();
    image.onload = () => done('loaded');
    image.onerror = () => done('');
    image.src = url;
})"""
PREFETCH = """url => new Promise(done => {
    const link = document.createElement('link');
    Object.assign(link, {rel: 'prefetch', as: 'document', onerror: () => done('')});
    link.onload = () => done('');
    link.href = url;
    document.head.append(link);
    setTimeout(() => done(''), 1000);
})"""
FORM = """url => {
    document.body.innerHTML = '<form method=post><input name=token value=guessed></form>';
    document.forms[0].action = url;
    document.forms[0].submit();
}"""


class _Blank(BaseHTTPRequestHandler):
    """Answers every GET with an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>quiet</title><body></body>")

    def log_message(self, *arguments: object) -> None:
        pass  # it would speak to stderr


@pytest.fixture
def neighbour() -> Iterator[str]:
    """The origin of another web site, which for the browser is none of ours."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield f"http://evil.test:{server.server_port}"
        server.shutdown()
        serving.join()


@dataclass
class Desk:
    """A browser, a proxy and a Misskey server, and what the browser complains of."""

    browser: Any
    proxy: Sidekey
    sandbox: MisskeySandbox
    complaints: list[str] = field(default_factory=list)

    @property
    def login(self) -> str:
        return f"{self.proxy.address}/_sidekey/login/m"

    async def window(self) -> Any:
        """Open a window whose complaints are noted."""
        page = await self.browser.new_page()
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    async def at_the_server(self) -> Any:
        """Open our page and press its button; return the window, which shows the server's page."""
        page = await self.window()
        await page.goto(self.login)
        await page.get_by_role("button", name="Continue to").click()
        await page.wait_for_selector("#accept")
        return page

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


@asynccontextmanager
async def desk(folder: Path, beginning: str = BEGINNING) -> AsyncIterator[Desk]:
    sandbox = MisskeySandbox()
    resolving = "--host-resolver-rules=MAP evil.test 127.0.0.1"
    async with (
        serve(sandbox.application()) as origin,
        sidekey(folder, f"m: {{preset: misskey, base_url: '{origin}'}}", beginning=beginning) as px,
        chromium(resolving, "--disable-features=LocalNetworkAccessChecks") as browser,
    ):
        yield Desk(browser, px, sandbox)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as standing:
        yield standing


async def posted(page: Any, url: str) -> Any:
    """Return what a page of our own reads of an upstream."""
    options = "{method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'}"
    return json.loads(await page.evaluate(f"url => fetch(url, {options}).then({READ})", url))


async def test_from_the_button_to_the_first_request(at: Desk) -> None:
    page = await at.at_the_server()
    assert page.url.startswith(at.proxy.running.upstreams["m"])
    waiting = await at.window()
    await waiting.goto(at.login)
    await waiting.get_by_text("4:5").wait_for()
    await page.click("#accept")
    await page.get_by_role("heading", name="Signed in as @bob").wait_for()
    await waiting.get_by_text("You have signed in").wait_for()
    assert (await posted(page, at.proxy.url("m", "/api/i")))["username"] == "bob"
    await page.get_by_role("link", name="dashboard").wait_for()
    token = at.proxy.source("m").entry
    assert token is not None
    for window in (page, waiting):
        assert token.token.value.reveal() not in await window.content()
    assert at.complaints == []


async def test_what_a_browser_asked_for_before_it_signed_in_comes_after(tmp_path: Path) -> None:
    wanted = BEGINNING.replace("port: 0", "port: 0, browser_navigation: true")
    async with desk(tmp_path, wanted) as at:
        page = await at.window()
        opened = await page.goto(at.proxy.url("m", "/api/meta"))
        assert (opened.status, opened.headers["sidekey-error"]) == (503, "login-required")
        await page.get_by_role("button", name="Continue to").click()
        await page.click("#accept")
        await page.get_by_text("Signed in as @bob").wait_for()
        opened = await page.goto(at.proxy.url("m", "/nodeinfo/2.1"))
        assert opened.status == 200


async def test_a_denial_is_told_once_time_is_up_and_another_try_succeeds(
    at: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Surprise 16: the server tells nobody of it."""
    monkeypatch.setattr(sign_ins, "TIMEOUT", 4.0)
    monkeypatch.setattr(login, "POLL", 0.2)
    page = await at.at_the_server()
    await page.click("#reject")
    await page.get_by_text("Access denied").wait_for()
    await page.go_back()
    await page.get_by_role("button", name="Cancel").wait_for()
    await page.get_by_text("denied, or the page left alone").wait_for()
    monkeypatch.setattr(sign_ins, "TIMEOUT", 60.0)
    await page.get_by_role("button", name="Continue to").click()
    await page.click("#accept")
    await page.get_by_text("Signed in as @bob").wait_for()
    assert at.complaints == []


async def test_a_sign_in_can_be_cancelled(at: Desk) -> None:
    page = await at.at_the_server()
    await page.goto(at.login)
    again = page.get_by_role("link", name=at.proxy.running.upstreams["m"].removeprefix("http://"))
    await again.click()
    await page.wait_for_selector("#accept")
    await page.goto(at.login)
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_text("it was cancelled").wait_for()
    assert at.complaints == []


async def test_the_pages_are_for_everybody(at: Desk) -> None:
    """No finding of axe's, whatever its weight."""
    axe = pytest.importorskip("axe_playwright_python.async_playwright").Axe()
    page = await at.window()
    waiting = await at.window()
    await page.goto(at.login)
    findings = {"start": await axe.run(page)}
    await page.get_by_role("button", name="Continue to").click()
    await page.wait_for_selector("#accept")
    await waiting.goto(at.login)
    findings["waiting"] = await axe.run(waiting)
    await page.click("#accept")
    await page.get_by_text("Signed in as @bob").wait_for()
    findings["ended"] = await axe.run(page)
    for path in ("login/m/callback", "login/mm", "nope"):
        await page.goto(f"{at.proxy.address}/_sidekey/{path}")
        findings[path] = await axe.run(page)
    assert {name: found.response["violations"] for name, found in findings.items()} == {
        name: [] for name in findings
    }


async def test_it_works_without_scripts(at: Desk) -> None:
    context = await at.browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(at.login)
    await page.get_by_role("button", name="Continue to").click()
    await page.locator("#accept").wait_for(state="attached")
    session = page.url.partition("/miauth/")[2].partition("?")[0]
    await page.goto(at.login)
    await page.get_by_text("reload this page").wait_for()
    at.sandbox.approve_miauth(session)
    await page.goto(f"{at.login}/callback?session={session}")
    await page.get_by_text("Signed in as @bob").wait_for()


async def cancelled_and_done_again(page: Any, at: Desk) -> None:
    """Go through every form of a sign-in, to its end."""
    await page.get_by_role("button", name="Continue to").click()
    await page.wait_for_selector("#accept")
    await page.goto(at.login)
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_text("it was cancelled").wait_for()
    await page.get_by_role("button", name="Continue to").click()
    await page.click("#accept")
    await page.get_by_text("Signed in as @bob").wait_for()


async def test_where_clients_are_asked_for_a_key_the_page_asks_too(tmp_path: Path) -> None:
    async with desk(tmp_path, f"{BEGINNING}clients: {{keys: {PHANTOM}}}\n") as at:
        page = await at.window()
        await page.goto(at.login)
        await page.get_by_label("Client key").fill("canary-of-a-wrong-key")
        await page.get_by_role("button", name="Show the page").click()
        await page.get_by_text("This key is not accepted.").wait_for()
        await page.get_by_label("Client key").fill(PHANTOM)
        await page.get_by_role("button", name="Show the page").click()
        await cancelled_and_done_again(page, at)
        assert not holds_canary(page.url)
        assert not holds_canary(await page.content())
        assert at.complaints == []


async def test_where_clients_share_a_header_the_page_asks_for_its_value(tmp_path: Path) -> None:
    """From the button to the first request, with nothing but the header."""
    axe = pytest.importorskip("axe_playwright_python.async_playwright").Axe()
    header = f"clients: {{header: {{name: X-Us, value: {SHARED}}}}}\n"
    async with desk(tmp_path, f"{BEGINNING}{header}") as at:
        page = await at.window()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(at.login)
        assert (await axe.run(page)).response["violations"] == []
        field = page.get_by_label("Value of X-Us")
        show = page.get_by_role("button", name="Show the page")
        await field.fill("canary-of-a-\uff57rong-value")  # typed with a Japanese keyboard
        await show.click()
        await page.get_by_text("It has characters that are not ASCII").wait_for()
        await field.fill("canary-of-a-wrong-value")
        await show.click()
        await page.get_by_text("This value is not accepted.", exact=True).wait_for()
        assert (await axe.run(page)).response["violations"] == []
        await field.fill(SHARED)
        await show.click()
        await cancelled_and_done_again(page, at)
        assert not holds_canary(await page.content())
        assert not [url for url in asked if holds_canary(url)]
        [complaint] = at.complaints  # Chromium tells of every refusal
        assert "412" in complaint
        url = at.proxy.url("m", "/api/i")
        answer = await page.context.request.post(url, headers={"X-Us": SHARED}, data={})
        assert (await answer.json())["username"] == "bob"
        assert (await page.context.request.post(url, data={})).status == 412


async def test_a_page_of_another_site_can_lead_here_but_to_no_sign_in_of_its_own(
    at: Desk, neighbour: str
) -> None:
    """Login CSRF: it approves a session of its own, and has the browser come back with that."""
    page = await at.at_the_server()
    theirs = "859b06af-c284-4096-a6d9-a20f9564f7fe"
    at.sandbox.approve_miauth(theirs)
    other = await at.browser.new_page()
    await other.goto(neighbour)
    callback = f"{at.login}/callback?session={theirs}"
    await other.evaluate("url => { location.href = url; }", callback)
    await other.get_by_role("heading", name="Not this sign-in").wait_for()
    assert at.proxy.source("m").entry is None
    await page.click("#accept")
    await page.get_by_text("Signed in as @bob").wait_for()


@pytest.mark.parametrize("script", [FRAME, IMAGE, PREFETCH, f"url => fetch(url).then({READ})"])
async def test_a_page_of_another_site_can_load_no_callback_into_itself(
    at: Desk, neighbour: str, script: str
) -> None:
    await at.at_the_server()
    [waiting] = at.proxy.told(SignInBegun)
    other = await at.browser.new_page()
    await other.goto(neighbour)
    url = f"{at.login}/callback?session=guessed"
    tried = f"url => Promise.resolve(url).then({script}).catch(() => '')"
    assert await other.evaluate(tried, url) == ""
    refused = [event for event in at.proxy.told(RequestRefused) if "callback" in event.path]
    assert [event.slug for event in refused] == ["cross-site-refused"]
    assert at.proxy.told(SignInBegun) == [waiting]


async def test_a_page_of_another_site_begins_no_sign_in(at: Desk, neighbour: str) -> None:
    other = await at.browser.new_page()
    for path in (
        "/_sidekey/login/m",
        "/_sidekey/api/upstreams/m/login",
        "/_sidekey/login/m/cancel",
    ):
        await other.goto(neighbour)
        await other.evaluate(FORM, f"{at.proxy.address}{path}")
        await other.get_by_text("requests of web pages are refused").wait_for()
    await other.goto(neighbour)
    await other.evaluate("url => { location.href = url; }", at.login)
    await other.get_by_text("a web page of another site caused this request").wait_for()
    assert at.proxy.told(SignInBegun) == []
    assert at.sandbox.calls.total() == 0
