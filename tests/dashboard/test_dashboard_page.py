"""The dashboard as a whole: who may see it, who can use it, and what it keeps to itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import NEEDS_CHROMIUM
from canaries import canary, holds_canary
from command_line import Home, free_port
from dashboard_page import dashboard, findings, is_live, opened, row, say_who
from gateway_samples import keyed, tokened
from issuing import Issuer
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import ask
from raw_upstream import answering, json_response, response

from proxy.events import ConfigRefused, ConfigReloaded
from proxy.sandbox.demonstration import demonstration

pytestmark = [NEEDS_CHROMIUM, pytest.mark.asyncio(loop_scope="module")]

PHONE = {"width": 360, "height": 800}
VIEWS = [
    pytest.param({}, id="light"),
    pytest.param({"color_scheme": "dark"}, id="dark"),
    pytest.param({"viewport": PHONE}, id="narrow"),
    pytest.param({"viewport": PHONE, "color_scheme": "dark"}, id="narrow and dark"),
]


@asynccontextmanager
async def everything(folder: Path) -> AsyncIterator[Sidekey]:
    """Serve every sandbox, with requests that went well, were refused, and found no token."""
    async with demonstration() as demo:
        text = demo.config(0).partition("upstreams:\n")[2]
        async with sidekey(folder, _dedented(text), environ=demo.environ) as proxy:
            for path in ("/jquants/listed/info?code=86970", "/misskey/api/i", "/nope/a"):
                await ask(proxy, f"GET {path}")
            yield proxy


def _dedented(text: str) -> str:
    return "\n".join(line.removeprefix("  ") for line in text.splitlines())


@pytest.mark.parametrize(
    "code",
    [
        "console.warn('no')",
        "document.body.append(Object.assign(document.createElement('script'), {text: 'hit = 1'}))",
        "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.2:9/'}))",
        "setTimeout(() => { throw new Error('no'); })",
    ],
    ids=["warning", "script in the page", "another origin", "error"],
)
async def test_the_watch_over_the_page_can_fail(browser: Any, tmp_path: Path, code: str) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        with pytest.raises(AssertionError, match="complaints"):
            await _running(browser, proxy, code)


async def _running(browser: Any, proxy: Sidekey, code: str) -> None:
    async with dashboard(browser, proxy) as page:
        await page.evaluate(code)
        await page.wait_for_timeout(100)


@pytest.mark.parametrize("options", VIEWS)
async def test_a_scan_for_barriers_finds_nothing(
    browser: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    async with (
        everything(tmp_path) as proxy,
        dashboard(browser, proxy, **options) as page,
    ):
        proxy.running.observe(ConfigRefused(("sidekey.yaml:3:1: unknown key",)))
        await page.locator("#refused").wait_for()
        await row(page, "/nope/a")
        traffic = await findings(page)
        await opened(page, "/jquants/listed/info")
        panel = await findings(page)
        await page.keyboard.press("Escape")
        await page.get_by_role("switch", name="Record contents").click()
        question = await findings(page)
        await page.keyboard.press("Escape")
        await page.get_by_role("link", name="Configuration").click()
        await page.locator("#settings-list tr").first.wait_for()
        settings = await findings(page)
        await page.get_by_role("link", name="Explain").click()
        await page.get_by_role("textbox", name="URL").fill("/jquants/listed/info")
        await page.keyboard.press("Enter")
        await page.locator("#explanation h3").first.wait_for()
        explanation = await findings(page)
    assert [traffic, panel, question, settings, explanation] == [[]] * 5


async def test_everything_can_be_reached_by_tab_and_shows_that_it_is(
    browser: Any, tmp_path: Path
) -> None:
    async with everything(tmp_path) as proxy, dashboard(browser, proxy) as page:
        await row(page, "/nope/a")
        reached, shown = [], []
        for _ in range(80):
            await page.keyboard.press("Tab")
            here = await page.evaluate(FOCUS)
            if here is None:
                break
            reached.append(here["name"])
            shown.append(here["seen"])
    assert reached[0] == "Skip to the content"
    wanted = [
        "Log in to misskey",
        "Renew: jquants",
        "5 min",
        "Record contents",
        "Pause",
        "/nope/a",
    ]
    assert [name for name in reached if name in wanted] == sorted(wanted, key=reached.index)
    assert set(wanted) <= set(reached)
    assert all(shown), dict(zip(reached, shown, strict=True))


FOCUS = """() => {
    const one = document.activeElement;
    if (one === document.body) return null;
    const label = one.labels?.[0]?.textContent.trim();
    const style = getComputedStyle(one.type === 'radio' ? one.nextElementSibling : one);
    return {
        name: one.getAttribute('aria-label') || label || one.textContent.trim(),
        seen: style.outlineStyle !== 'none' || one.type === 'range',
    };
}"""


@pytest.mark.parametrize(
    ("asked", "shown", "label"),
    [
        ("keys: '${PHANTOM}'", "Authorization: Bearer", "Client key"),
        ("header: {value: '${PHANTOM}'}", "Sidekey-Client:", "Value of Sidekey-Client"),
    ],
)
async def test_no_secret_reaches_the_page_or_its_network(
    browser: Any, tmp_path: Path, asked: str, shown: str, label: str
) -> None:
    secret = {name: canary(name) for name in ("key", "client", "phantom", "query", "answer")}
    issuer = Issuer(answer=response("200 OK", b"ok", f"X-Session-Token: {secret['answer']}"))
    async with answering(issuer) as upstream, answering(quoting) as refusing:
        texts = [
            keyed(upstream.origin, name="k").replace("canary-key-1", '"${KEY}"'),
            tokened(upstream.origin, upstream.origin).replace(
                "canary-client-secret", '"${CLIENT}"'
            ),
            tokened(refusing.origin, refusing.origin)
            .replace("r:", "refused:", 1)
            .replace("canary-client-secret", '"${CLIENT}"'),
        ]
        guarded = f"{BEGINNING}clients: {{{asked}}}\n"
        environ = {"KEY": secret["key"], "CLIENT": secret["client"], "PHANTOM": secret["phantom"]}
        async with sidekey(tmp_path, "\n".join(texts), beginning=guarded, environ=environ) as proxy:
            known = f"{shown} {secret['phantom']}"
            for name in ("k", "r", "refused"):
                await ask(proxy, f"GET /{name}/a?access_token={secret['query']}", known)
            async with dashboard(browser, proxy, expects="401|412", live=False) as page:
                answers: list[Any] = []
                page.on("response", lambda one: answers.append(one))
                await page.evaluate(LISTEN)
                await say_who(page, secret["phantom"], label)
                await is_live(page)
                seen = [await page.evaluate(DOM)]
                for name in ("k", "r", "refused"):
                    await opened(page, f"/{name}/a")
                    seen.append(await page.evaluate(DOM))
                await page.keyboard.press("Escape")
                await page.get_by_role("link", name="Explain").click()
                await page.get_by_role("textbox", name="URL").fill("/k/a?code=1")
                await page.keyboard.press("Enter")
                await page.locator("#explanation h3").first.wait_for()
                await page.get_by_role("link", name="Configuration").click()
                seen.append(await page.evaluate(DOM))
                told = await page.evaluate("told")
                heads = [str(await one.all_headers()) for one in answers]
    assert any('"upstreams"' in text for text in told)
    assert any("event: upstreams" in text for text in told)
    urls = [one.url for one in answers]
    assert not [text for text in [*seen, *told, *heads, *urls] if holds_canary(text)]


LISTEN = """() => {
    const { fetch } = window;
    window.told = [];
    window.fetch = async (...asked) => {
        const answer = await fetch(...asked);
        const at = window.told.push('') - 1;
        const write = chunk => { window.told[at] += chunk; };
        answer.clone().body.pipeThrough(new TextDecoderStream())
            .pipeTo(new WritableStream({ write })).catch(() => {});
        return answer;
    };
}"""
DOM = """() => document.documentElement.outerHTML + [...document.querySelectorAll('input')]
    .map(field => field.value).join()"""


def quoting(request: Any) -> bytes:
    """Refuse at the token endpoint, and say by which credentials."""
    said = {"error": "invalid_client", "error_description": str(request.head + request.content)}
    return json_response("401 Unauthorized", json.dumps(said).encode())


async def test_a_refused_configuration_is_shown_until_it_is_mended(
    browser: Any, tmp_path: Path
) -> None:
    line = "sidekey.yaml:3:1: <b>unknown</b> key"
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        dashboard(browser, proxy) as page,
    ):
        assert not await page.locator("#refused").is_visible()
        proxy.running.observe(ConfigRefused((line,)))
        await page.get_by_text(line).wait_for()
        proxy.running.observe(ConfigReloaded((), (), ()))
        await page.get_by_text(line).wait_for(state="hidden")


async def test_a_lost_connection_is_said_and_comes_back(browser: Any, home: Home) -> None:
    port = free_port()
    async with answering() as upstream:
        home.configure(
            f"listen: {{port: {port}}}\nupstreams:\n  {{r: {{base_url: '{upstream.origin}',"
            " provider: {type: api_key, keys: canary-key-1}}}"
        )
        context = await browser.new_context()
        page = await context.new_page()
        async with home.started("run") as proxy:
            await page.goto(f"{await proxy.address()}/_sidekey/")
            await is_live(page)
            await home.shell(f"curl -s http://127.0.0.1:{port}/r/before")
            await row(page, "/r/before")
        await page.get_by_text("Connection lost, trying again in").wait_for()
        async with home.started("run") as proxy:
            await proxy.address()
            await is_live(page)
            await page.get_by_role("status").get_by_text("Connected again").wait_for()
            await home.shell(f"curl -s http://127.0.0.1:{port}/r/after")
            await row(page, "/r/after")
            assert await page.locator("#requests-list tr").count() == 1, "those of the proxy before"
            await page.get_by_role("button", name="Clear").click()
        await context.close()
