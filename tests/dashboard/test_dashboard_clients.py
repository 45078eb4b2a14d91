"""Where `clients` is configured, the dashboard asks who is calling before it shows anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import NEEDS_CHROMIUM
from dashboard_page import dashboard, findings, is_live, row, say_who
from gateway_samples import keyed
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import ask
from raw_upstream import answering

from proxy.config import load

pytestmark = [NEEDS_CHROMIUM, pytest.mark.asyncio(loop_scope="module")]

PHANTOM = "canary-of-a-phantom-key"
SHARED = "canary-of-a-shared-header"
KEYS = f"clients: {{keys: {PHANTOM}}}\n"
HEADER = f"clients: {{header: {{name: X-Us, value: {SHARED}}}}}\n"
BOTH = f"clients: {{keys: {PHANTOM}, header: {{name: X-Us, value: {SHARED}}}}}\n"
LABEL = "Value of X-Us"


@asynccontextmanager
async def guarded(browser: Any, folder: Path, clients: str) -> AsyncIterator[tuple[Any, Sidekey]]:
    """Open the dashboard of a proxy that asks for `clients`."""
    async with (
        answering() as upstream,
        sidekey(folder, keyed(upstream.origin), beginning=BEGINNING + clients) as proxy,
        dashboard(browser, proxy, expects="401|412", live=False) as page,
    ):
        await page.get_by_role("dialog", name="Who is calling?").wait_for()
        yield page, proxy


@pytest.mark.parametrize("clients", [KEYS, BOTH])
async def test_the_page_asks_for_a_key_until_it_is_right(
    browser: Any, tmp_path: Path, clients: str
) -> None:
    async with guarded(browser, tmp_path, clients) as (page, _):
        assert await page.get_by_text("Copy curl").count() == 0
        assert not await page.get_by_text("This key is not accepted.").is_visible()
        await say_who(page, "a wrong key")
        await page.get_by_text("This key is not accepted.").wait_for()
        await say_who(page, PHANTOM)
        await is_live(page)
        await page.get_by_role("heading", name="r", exact=True).wait_for()
        await page.reload()
        await is_live(page)  # the tab remembers


async def test_without_keys_the_page_asks_for_the_value_of_the_header_until_it_is_right(
    browser: Any, tmp_path: Path
) -> None:
    async with guarded(browser, tmp_path, HEADER) as (page, proxy):
        assert not await page.get_by_role("alert").is_visible()
        assert await findings(page) == []
        await say_who(page, "canary-of-a-wrong-value", LABEL)
        await page.get_by_text("This value is not accepted.", exact=True).wait_for()
        assert await findings(page) == []
        await say_who(page, SHARED, LABEL)
        await is_live(page)
        await ask(proxy, "GET /r/later", f"X-Us: {SHARED}")
        await row(page, "/r/later")  # the stream brings it
        await page.get_by_role("switch", name="Record contents").click()
        await page.get_by_role("button", name="Record", exact=True).click()
        await page.locator("#recording[aria-checked=true]").wait_for()  # a change is shown who asks
        await page.reload()
        await is_live(page)  # the tab remembers


@pytest.mark.parametrize(
    ("clients", "label", "right"), [(KEYS, "Client key", PHANTOM), (HEADER, LABEL, SHARED)]
)
async def test_what_no_field_can_carry_is_not_accepted_and_not_sent(
    browser: Any, tmp_path: Path, clients: str, label: str, right: str
) -> None:
    """A fetch with such a field fails, which would look as if the proxy was gone."""
    async with guarded(browser, tmp_path, clients) as (page, _):
        for typed in (right.replace("-", "\uff0d"), f"{right}\u00e9"):  # Japanese keyboard, Latin 1
            await say_who(page, typed, label)
            await page.get_by_text("It has characters that are not ASCII.").wait_for()
        await say_who(page, right, label)
        await is_live(page)


async def test_a_header_that_no_page_can_send_is_said_to_be_one(
    browser: Any, tmp_path: Path
) -> None:
    clients = HEADER.replace("X-Us", "Proxy-Us")
    async with guarded(browser, tmp_path, clients) as (page, _):
        await say_who(page, SHARED, "Value of Proxy-Us")
        await page.get_by_text("No page can send Proxy-Us.").wait_for()


async def test_after_a_reload_the_page_asks_for_what_counts_then(
    browser: Any, tmp_path: Path
) -> None:
    async with guarded(browser, tmp_path, KEYS) as (page, proxy):
        await say_who(page, PHANTOM)
        await is_live(page)
        path = tmp_path / "sidekey.yaml"
        for before, after, label, value in (
            (KEYS, HEADER, LABEL, SHARED),
            (HEADER, KEYS, "Client key", PHANTOM),
        ):
            path.write_text(path.read_text().replace(before, after))
            proxy.running.change(load(path, environ={}).settings)
            await page.reload()
            await page.get_by_text("is not accepted.").wait_for()
            await say_who(page, value, label)
            await is_live(page)
