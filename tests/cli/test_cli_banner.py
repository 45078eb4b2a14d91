"""The banner of `sidekey run`: what it says of each credential, and its curl lines."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from command_line import Home

from proxy.config import presets
from proxy.sandbox.demonstration import demonstration
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

PORTAL = """\
upstreams:
  portal:
    preset: fujitsu-portal-oauth2
    base_url: {origin}
    provider: {{client_id: demo-client, client_secret: demo-client-secret}}
"""
ROOT = """\
upstreams:
  api: {base_url: "http://127.0.0.1:9", provider: {type: api_key, keys: made-up}}
"""


async def approved(home: Home, name: str, approve: Callable[[str], None]) -> None:
    """Sign in, with a human who approves at once."""
    async with home.started("login", name, "--no-browser") as login:
        approve((await login.err.shows(r"http://\S+/(?:mi)?auth/\S+"))[0])
        assert (await login.ended()).code == 0


async def test_with_each_preset_the_curl_line_gets_an_answer_of_the_api(home: Home) -> None:
    async with demonstration() as demo:
        home.configure(demo.config(0).replace("store: {type: memory}\n", ""))
        home.environ |= demo.environ
        await asyncio.gather(
            *(approved(home, name, demo.approve) for name in ("misskey", "misskey-app"))
        )
        async with home.started("run", terminal=True, NO_COLOR="1") as proxy:
            await proxy.err.shows("stop with Ctrl-C")
            lines = re.findall(r"try: +(curl .+?)\r?$", proxy.err.text, re.MULTILINE)
            answers = await asyncio.gather(*map(home.shell, lines))
    assert len(lines) == len(presets())
    assert [answer.out.split("\n")[0].strip() for answer in answers] == [
        "HTTP/1.1 200 OK" for _ in lines
    ], answers
    assert not [answer.out for answer in answers if "Sidekey-Error" in answer.out]


async def test_the_state_of_a_credential_is_told_in_words(home: Home) -> None:
    async with serve(Portal().application()) as origin:
        home.configure(PORTAL.format(origin=origin))
        async with home.started("run", "--port", "0", terminal=True) as proxy:
            await proxy.err.shows("fetched at the first request")
        assert (await home.run("check", "--online")).code == 0
        async with home.started("run", "--port", "0", terminal=True) as proxy:
            await proxy.err.shows(r"ready, expires in \d+m")


async def test_where_a_line_would_be_wider_than_the_terminal_the_state_has_its_own(
    home: Home,
) -> None:
    home.configure(PORTAL.format(origin="https://api.aispf.global.fujitsu.com"))
    async with home.started("run", "--port", "0", terminal=True, NO_COLOR="1") as proxy:
        await proxy.err.shows(r"-> https://\S+\r?\n +fetched at the first request\r?$")
        lines = proxy.err.text.splitlines()
    assert [line for line in lines if line.startswith("  ")]
    assert not [line for line in lines if line.startswith("  ") and len(line) > 80]


async def test_an_upstream_without_preset_gets_a_line_for_its_root(home: Home) -> None:
    home.configure(ROOT)
    async with home.started("run", "--port", "0", terminal=True, NO_COLOR="1") as proxy:
        await proxy.err.shows(r"try: +curl -i http://127\.0\.0\.1:\d+/api/\r?$")


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
async def test_states_have_colours_where_a_terminal_shows_them(
    home: Home, environ: dict[str, str], coloured: bool
) -> None:
    home.configure(ROOT)
    async with home.started("run", "--port", "0", terminal=True, **environ) as proxy:
        await proxy.err.shows("stop with Ctrl-C")
        assert ("\x1b[32mhas a key\x1b[0m" in proxy.err.text) == coloured
