"""The dashboard of a running proxy in a real browser, and complaints of what no page may do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from proxying import Sidekey

NOTHING = r"(?!)"
ROWS = "#requests-list tr"


@asynccontextmanager
async def dashboard(
    browser: Any,
    proxy: Sidekey,
    *,
    expects: str = NOTHING,
    fragment: str = "",
    live: bool = True,
    **options: Any,
) -> AsyncIterator[Any]:
    """Open the dashboard and wait until it is live, unless it is not to become so.

    Fails at the end if the console has shown an error or a warning, such as of the content security
    policy, or if the page has turned to another origin, unless that matches `expects`.
    """
    complaints: list[str] = []

    def complain(text: str) -> None:
        if not re.search(expects, text):
            complaints.append(text)

    def heard(message: Any) -> None:
        if message.type in ("error", "warning"):
            complain(message.text)

    def requested(request: Any) -> None:
        if not request.url.startswith(f"{proxy.address}/"):
            complain(f"asked {request.url}")

    async with await browser.new_context(**{"reduced_motion": "reduce", **options}) as context:
        page = await context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("request", requested)
        page.set_default_timeout(10_000)
        await page.goto(f"{proxy.address}/_sidekey/{fragment}")
        if live:
            await is_live(page)
        yield page
    assert not complaints, f"complaints: {complaints}"


async def is_live(page: Any) -> None:
    """Wait until the dashboard hears of everything that happens."""
    await page.locator("#connection[data-state=live]").wait_for()


async def row(page: Any, text: str) -> Any:
    """Wait for the first row of the list that shows `text`."""
    found = page.locator(ROWS).filter(has_text=text).first
    await found.wait_for()
    return found


async def cells(row: Any) -> dict[str, str]:
    """Return the texts of a row by the kind of the cell."""
    texts = await row.locator("td").evaluate_all(
        "all => all.map(cell => [cell.className.split(' ').at(-1), cell.innerText.trim()])"
    )
    return dict(texts)


async def opened(page: Any, text: str) -> Any:
    """Open the details of the first request that shows `text`; return the panel."""
    await (await row(page, text)).locator("button").click()
    panel = page.get_by_role("dialog", name=text)
    await panel.wait_for()
    return panel


async def focused(page: Any) -> str:
    """Return what has the focus: its id, or what it is called."""
    said: str = await page.evaluate(
        "(one => one.id || one.getAttribute('aria-label') || one.textContent.trim())"
        "(document.activeElement)"
    )
    return said


async def say_who(page: Any, value: str, label: str = "Client key") -> None:
    """Answer the question who is calling."""
    field = page.get_by_label(label, exact=True)
    await field.fill(value)
    assert await field.get_attribute("type") == "password"
    await page.get_by_role("button", name="Show the dashboard").click()


async def findings(page: Any) -> list[str]:
    """Return what axe finds, whatever its weight, with the elements; skip where it is not there."""
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="axe is missing")
    found = await axe.Axe().run(page)
    violations = found.response["violations"]
    return [f"{one['id']}: {node['html']}" for one in violations for node in one["nodes"]]
