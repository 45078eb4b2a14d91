"""A sign-in of the browser, where several processes have a part in it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from command_line import PATIENCE, Home, Started

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

CONFIG = 'upstreams: {{m: {{preset: misskey, base_url: "{origin}"}}}}\n'
HTML = {"Accept": "text/html,application/xhtml+xml"}


@dataclass
class Browser:
    """Talks to a running proxy over new connections, which any of its workers may take."""

    address: str

    async def get(self, path: str) -> str:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.address}/_sidekey/{path}", headers=HTML) as answer,
        ):
            return await answer.text()

    async def begin(self) -> str:
        """Begin a sign-in; return the address that the browser is sent to."""
        token = re.search(r'name="token" value="([^"]+)"', await self.get("login/m"))
        assert token is not None
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.address}/_sidekey/login/m",
                data=urlencode({"token": token[1]}),
                headers={**HTML, "Content-Type": "application/x-www-form-urlencoded"},
                allow_redirects=False,
            ) as answer,
        ):
            assert answer.status == 303, await answer.text()
            return answer.headers["Location"]

    async def sees(self, path: str, words: str) -> None:
        """Ask until a worker says so."""
        said: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while not any(words in text for text in said):
                    said = await asyncio.gather(*(self.get(path) for _ in range(4)))
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"nobody says {words!r}: {said[0]}") from None

    async def sees_at_once(self, path: str, words: str) -> None:
        """Ask until a worker says so, and leave those that wait for something."""
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as asking:
            asked: set[asyncio.Task[str]] = set()
            while not any(one.done() and words in one.result() for one in asked):
                asked.add(asking.create_task(self.get(path)))
                await asyncio.sleep(0.1)
            for one in asked:
                one.cancel()


@pytest.fixture
async def sandbox(home: Home) -> AsyncIterator[MisskeySandbox]:
    server = MisskeySandbox()
    async with serve(server.application()) as origin:
        home.configure(CONFIG.format(origin=origin))
        yield server


async def browsing(proxy: Started) -> Browser:
    return Browser(await proxy.address())


async def test_a_worker_that_did_not_begin_a_sign_in_waits_for_the_one_that_did(
    home: Home, sandbox: MisskeySandbox
) -> None:
    async with home.serving("--workers", "2") as proxy:
        browser = await browsing(proxy)
        url = urlsplit(await browser.begin())
        session = url.path.rpartition("/")[2]
        callback = parse_qs(url.query)["callback"][0].removeprefix(f"{browser.address}/_sidekey/")
        await browser.sees("login/m", "Another process of sidekey waits")
        await browser.sees("login/m", "sidekey waits for your approval")
        others = await asyncio.gather(*(browser.get(f"{callback}?session=x") for _ in range(8)))
        assert all("Not this sign-in" in text for text in others)
        await browser.sees_at_once(f"{callback}?session={session}", "Another process")
        sandbox.approve_miauth(session)
        await browser.sees(f"{callback}?session={session}", "Signed in as @bob")
        await browser.sees("login/m", "You have signed in")
        async with asyncio.timeout(20):
            while "Another process" in await browser.get("login/m"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        said = await asyncio.gather(*(browser.get("login/m") for _ in range(8)))
    assert all("Signed in as @bob" in text for text in said)
    assert [path.name for path in home.state.glob("*.token")] == ["m.token"]


async def test_the_command_and_the_browser_do_not_sign_in_at_once(
    home: Home, sandbox: MisskeySandbox
) -> None:
    async with home.serving() as proxy:
        browser = await browsing(proxy)
        async with home.started("login", "m", "--no-browser") as login:
            session = (await login.err.shows(r"/miauth/([\w-]+)"))[1]
            assert "Another process of sidekey waits" in await browser.get("login/m")
            sandbox.approve_miauth(session)
            assert (await login.ended()).code == 0
        await browser.sees("login/m", "Signed in as @bob")
        url = await browser.begin()
        refused = await home.run("login", "m", "--no-browser")
        assert (refused.code, "another sidekey login m is waiting" in refused.err) == (1, True)
        sandbox.approve_miauth(urlsplit(url).path.rpartition("/")[2])
        await browser.sees("login/m", "You have signed in")
        log = await proxy.stopped()
    assert log.code == 0
    assert "Traceback" not in log.err


async def test_a_token_that_a_browser_got_is_there_after_a_restart(
    home: Home, sandbox: MisskeySandbox
) -> None:
    async with home.serving() as proxy:
        browser = await browsing(proxy)
        url = await browser.begin()
        token = sandbox.approve_miauth(urlsplit(url).path.rpartition("/")[2])
        await browser.sees("login/m", "You have signed in")
        log = await proxy.stopped()
    printed = await home.run("token", "m")
    assert printed.out == f"{token}\n"
    assert token not in log.said
    assert '"event": "sign.in.ended"' in log.err
    async with home.serving() as proxy:
        browser = await browsing(proxy)
        assert "Signed in as @bob" in await browser.get("login/m")
