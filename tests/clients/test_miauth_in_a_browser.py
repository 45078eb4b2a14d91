"""MiAuth from end to end: `sidekey login`, the server's page in Chromium, a running proxy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from browser import NEEDS_CHROMIUM, chromium
from command_line import Home

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

pytestmark = NEEDS_CHROMIUM


@pytest.fixture
async def page() -> AsyncIterator[Any]:
    async with chromium() as browser:
        yield await browser.new_page()


async def test_accept_signs_in_and_reject_does_not(home: Home, page: Any) -> None:
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        home.configure(f"upstreams: {{m: {{preset: misskey, base_url: '{origin}'}}}}")
        async with home.serving() as proxy:
            async with home.started("login", "m", "--no-browser", "--timeout", "3") as login:
                await page.goto((await login.err.shows(r"http://\S+/miauth/\S+"))[0])
                await page.click("#reject")
                denied = await login.ended()
            assert denied.code == 1
            assert "denied" in denied.err
            async with home.started("login", "m", "--no-browser") as login:
                await page.goto((await login.err.shows(r"http://\S+/miauth/\S+"))[0])
                await page.click("#accept")
                await page.get_by_text("Signed in").wait_for()
                accepted = await login.ended()
            assert accepted.code == 0
            assert "m: signed in as @bob" in accepted.err
            url = f"{await proxy.address()}/m/api/i"
            answer = await home.shell(
                f"curl -s --retry 5 --retry-all-errors -f {url} --json '{{}}'"
            )
    assert json.loads(answer.out)["username"] == "bob"
    assert [path.name for path in home.state.glob("*.token")] == ["m.token"]
