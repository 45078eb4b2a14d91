"""`sidekey login`: a human approves at the Misskey sandbox, and the token is kept."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from command_line import Home, Started

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

CONFIG = """\
listen: {{port: 0}}
upstreams:
  misskey: {{preset: misskey, base_url: "{origin}"}}
  app:
    preset: misskey-app
    base_url: "{origin}"
    provider: {{app_secret: "${{APP_SECRET}}"}}
  by-hand: {{preset: misskey-token, base_url: "{origin}", provider: {{token: "${{APP_SECRET}}"}}}}
"""


@dataclass
class Site:
    """A Misskey server, and a home whose configuration leads to it."""

    sandbox: MisskeySandbox
    origin: str
    home: Home

    @asynccontextmanager
    async def login(self, *arguments: str, terminal: bool = False) -> AsyncIterator[Started]:
        given = ("login", *arguments, "--no-browser")
        async with self.home.started(*given, terminal=terminal) as command:
            yield command


@pytest.fixture
async def site(home: Home) -> AsyncIterator[Site]:
    sandbox = MisskeySandbox()
    async with serve(sandbox.application()) as origin:
        home.configure(CONFIG.format(origin=origin))
        home.environ["APP_SECRET"] = sandbox.app_secret
        yield Site(sandbox, origin, home)


@dataclass(frozen=True)
class Page:
    """The page that a login asks to open."""

    url: str

    @property
    def session(self) -> str:
        return urlsplit(self.url).path.rpartition("/")[2]

    def callback(self, session: str | None = None) -> str:
        [url] = parse_qs(urlsplit(self.url).query)["callback"]
        return f"{url}?session={session or self.session}"


async def page_of(login: Started) -> Page:
    return Page((await login.err.shows(r"http://\S+/(?:mi)?auth/\S+"))[0])


async def fetched(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def username(proxy: Started, upstream: str) -> str:
    """Ask who the token belongs to, with no credential; return the name, or the problem's slug."""
    url = f"{await proxy.address()}/{upstream}/api/i"
    async with aiohttp.ClientSession() as session, session.post(url, json={}) as response:
        found: str = response.headers.get("Sidekey-Error") or (await response.json())["username"]
        return found


async def test_a_login_keeps_the_token_and_a_running_proxy_picks_it_up(site: Site) -> None:
    home = site.home
    async with home.serving() as proxy:
        assert await username(proxy, "misskey") == "login-required"
        async with site.login("misskey") as login:
            page = await page_of(login)
            assert page.url.startswith(f"{site.origin}/miauth/")
            before = login.err.text
            token = site.sandbox.approve_miauth(page.session)
            shown = await fetched(page.callback())
            ended = await login.ended()
        assert (ended.code, ended.out) == (0, "")
        assert shown[0] == 200
        assert "Signed in" in shown[1]
        assert "signed in as @bob" not in before
        assert "misskey: signed in as @bob" in ended.err
        assert await noticed(proxy, "misskey", "bob")
        printed = await home.run("token", "misskey")
        forgotten = await home.run("logout", "misskey")
        assert await noticed(proxy, "misskey", "login-required")
        again = await home.run("logout", "misskey")
    assert (printed.code, printed.out, printed.err) == (0, f"{token}\n", "")
    assert (forgotten.code, forgotten.out) == (0, "")
    assert "misskey: forgotten" in forgotten.err
    assert (again.code, "no token was stored" in again.err) == (0, True)


async def noticed(proxy: Started, upstream: str, expected: str) -> bool:
    """Ask until the answer is the expected one; a change of the store is seen within seconds."""
    async with asyncio.timeout(20):
        while await username(proxy, upstream) != expected:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.1)
    return True


async def test_the_token_is_asked_for_once_and_stored_before_success_is_told(site: Site) -> None:
    """Surprise 16: `check` hands the token out once, so nobody may hear of it before the store."""
    async with site.login("misskey") as login:
        page = await page_of(login)
        site.sandbox.approve_miauth(page.session)
        await fetched(page.callback())
        await login.err.shows("signed in")
        [entry] = site.home.state.glob("*.token")
        ended = await login.ended()
    assert ended.code == 0
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(site.home.state.stat().st_mode) == 0o700
    status = await site.home.run("status", "--json")
    states = {row["upstream"]: row["state"] for row in json.loads(status.out)["upstreams"]}
    assert states == {"misskey": "ready", "app": "login-required", "by-hand": "ready"}
    assert status.code == 4


async def test_the_browser_is_not_told_of_success_when_the_token_could_not_be_kept(
    site: Site,
) -> None:
    async with site.login("misskey") as login:
        page = await page_of(login)
        (site.home.state / "misskey.token").mkdir()
        site.sandbox.approve_miauth(page.session)
        status, text = await fetched(page.callback())
        ended = await login.ended()
    assert (status, "Not signed in" in text) == (200, True)
    assert ended.code == 1
    assert str(site.home.state / "misskey.token") in ended.err
    assert "Traceback" not in ended.err


async def test_a_callback_of_a_foreign_session_is_refused_and_the_login_goes_on(
    site: Site,
) -> None:
    async with site.login("misskey") as login:
        page = await page_of(login)
        status, text = await fetched(page.callback("859b06af-c284-4096-a6d9-a20f9564f7fe"))
        assert status == 400
        assert "another sign-in" in text
        assert page.session not in text
        bare = page.callback().partition("?")[0]
        assert (await fetched(bare))[0] == 400
        assert login.process.returncode is None
        site.sandbox.approve_miauth(page.session)
        assert (await fetched(page.callback()))[0] == 200
        assert (await login.ended()).code == 0


async def test_a_second_login_at_once_is_told_so_and_the_first_goes_on(site: Site) -> None:
    async with site.login("misskey") as first:
        page = await page_of(first)
        async with site.login("misskey") as second:
            refused = await second.ended()
        assert refused.code == 1
        assert "another sidekey login misskey is waiting" in refused.err
        assert "http" not in refused.err
        site.sandbox.approve_miauth(page.session)
        await fetched(page.callback())
        assert (await first.ended()).code == 0


async def test_denied_and_left_alone_look_the_same_and_end_in_words(site: Site) -> None:
    """Surprise 16: a denial never signals."""
    async with site.login("misskey", "--timeout", "0.5") as login:
        ended = await login.ended()
    assert ended.code == 1
    assert "denied" in ended.err
    assert "sidekey login misskey" in ended.err
    assert "Traceback" not in ended.err
    assert not list(site.home.state.glob("*.token"))


@pytest.mark.parametrize("terminal", [False, True])
async def test_ctrl_c_ends_a_login_with_130(site: Site, terminal: bool) -> None:
    async with site.login("misskey", terminal=terminal) as login:
        await page_of(login)
        if terminal:
            await login.err.shows(r"waiting 4:5\d")
        ended = await login.stopped(signal.SIGINT)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert "signed in" not in ended.err


async def test_a_registered_app_is_approved_in_the_browser_too(site: Site) -> None:
    async with site.login("app") as login:
        page = await page_of(login)
        site.sandbox.approve_session(page.session)
        ended = await login.ended()
    assert ended.code == 0
    assert "app: signed in as @bob" in ended.err
    async with site.home.serving() as proxy:
        assert await username(proxy, "app") == "bob"


async def test_what_cannot_sign_in_says_why(site: Site) -> None:
    misspelt = [(command, "missky") for command in ("login", "logout")]
    needless, *unknown = await site.home.run_all(("login", "by-hand"), *misspelt)
    assert (needless.code, needless.out) == (1, "")
    assert needless.err.startswith("sidekey: by-hand: this upstream needs no login")
    for ended in unknown:
        assert (ended.code, ended.out) == (2, "")
        assert "no upstream is named missky" in ended.err
        assert "misskey" in ended.err


async def test_a_refused_app_secret_is_told_without_showing_it(site: Site) -> None:
    wrong = await site.home.run("login", "app", "--no-browser", APP_SECRET="wrong-secret-canary")
    assert wrong.code == 1
    assert "app: " in wrong.err
    assert "canary" not in wrong.err
    assert "Traceback" not in wrong.err


async def test_a_login_into_memory_is_refused(site: Site) -> None:
    home = site.home
    home.configure("store: {type: memory}\n" + CONFIG.format(origin=site.origin))
    ended = await home.run("login", "misskey", "--no-browser")
    assert ended.code == 2
    assert "memory" in ended.err
    assert site.sandbox.calls.total() == 0


async def test_a_state_folder_that_cannot_be_made_is_an_error_in_words(site: Site) -> None:
    site.home.state.parent.write_text("in the way")
    ended = await site.home.run("login", "misskey", "--no-browser")
    assert ended.code == 1
    assert str(site.home.state) in ended.err
    assert "Traceback" not in ended.err


async def test_a_server_that_is_down_is_named_when_nobody_could_approve(home: Home) -> None:
    home.configure(CONFIG.format(origin="http://127.0.0.1:9"))
    home.environ["APP_SECRET"] = "made-up-secret"
    names = ("misskey", "app")
    commands = [("login", name, "--no-browser", "--timeout", "0.5") for name in names]
    for name, ended in zip(names, await home.run_all(*commands), strict=True):
        assert ended.code == 1
        assert f"{name}: " in ended.err
        assert "127.0.0.1:9" in ended.err
        assert "Traceback" not in ended.err
