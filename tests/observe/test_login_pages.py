"""The pages by which a browser signs in to an upstream, as they are on the wire."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from oracles import tidy_loop
from pages_client import do, told
from proxying import BEGINNING, sidekey
from raw_client import ask, raw_client
from raw_upstream import Conversation, answering, conversing, json_response
from signing_in import FROM_THE_SERVER, HTML, Begun, Site, signing_in, text

from proxy.config import load
from proxy.credentials import login
from proxy.credentials.login import only_login
from proxy.events import SignInBegun, SignInEnded
from proxy.observe import login_routes, sign_ins

OTHER = "859b06af-c284-4096-a6d9-a20f9564f7fe"
PHANTOM = "canary-of-a-phantom-key"
GUARDED = f"{BEGINNING}clients: {{keys: {PHANTOM}}}\n"
SHOWN = f"Authorization: Bearer {PHANTOM}"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    with tidy_loop():
        async with signing_in(tmp_path) as standing:
            yield standing


async def test_the_page_says_who_asks_for_what_and_what_happens_then(site: Site) -> None:
    answer = await site.page("m")
    said = text(answer)
    assert answer.status == 200
    host = site.origin.removeprefix("http://")
    for words in (
        f"<strong>{host}</strong> will ask whether <strong>sidekey</strong> may use your account",
        "<code>write:notes</code>: post and delete notes",
        f"Continue to {host}",
        "Not signed in: nobody has signed in yet.",
        "sidekey logout m",
        '<html lang="en">',
    ):
        assert words in said
    assert said.count("<li><code>") == 15


async def test_a_page_can_neither_be_kept_nor_framed_nor_read_by_others(site: Site) -> None:
    answer = await site.page("m")
    assert answer.field("Cache-Control") == ["no-store"]
    assert answer.field("X-Content-Type-Options") == ["nosniff"]
    assert answer.field("Cross-Origin-Opener-Policy") == ["same-origin"]
    assert answer.field("Cross-Origin-Resource-Policy") == ["same-origin"]
    assert not [name for name, _ in answer.fields if name.lower().startswith("access-control-")]
    [policy] = answer.field("Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert f"form-action 'self' {site.origin};" in policy


async def test_a_sign_in_leads_to_the_server_and_back_and_its_token_is_used(site: Site) -> None:
    begun = await site.begun()
    assert begun.url.startswith(f"{site.origin}/miauth/")
    assert begun.callback.startswith(f"{site.proxy.address}/_sidekey/login/m/callback?")
    token = site.sandbox.approve_miauth(begun.session)
    answer = await site.returned(begun)
    assert (answer.status, "Signed in as @bob" in text(answer)) == (200, True)
    assert token not in text(answer)
    assert site.proxy.told(SignInEnded) == [SignInEnded("m", "@bob", None)]
    used = await ask(site.proxy, "POST /m/api/i", "Content-Type: application/json", content=b"{}")
    assert used.json()["username"] == "bob"
    assert "Signed in as @bob. To sign in again replaces that token." in text(await site.page("m"))


async def test_an_outcome_can_be_looked_at_again_and_asks_the_server_nothing(site: Site) -> None:
    begun = await site.begun()
    site.sandbox.approve_miauth(begun.session)
    await site.returned(begun)
    asked = site.sandbox.calls.total()
    assert "Signed in as @bob" in text(await site.returned(begun))
    assert site.sandbox.calls.total() == asked


async def test_a_registered_app_says_that_the_server_knows_its_permissions(site: Site) -> None:
    assert "your registered application" in text(await site.page("app"))
    begun = await site.begun("app")
    assert begun.url.startswith(f"{site.origin}/auth/")
    site.sandbox.approve_session(begun.session)
    answer = await site.page(f"app/callback?token={begun.session}", *FROM_THE_SERVER)
    assert "Signed in as @bob" in text(answer)


async def test_while_it_waits_the_page_leads_to_the_server_again_and_can_cancel(
    site: Site,
) -> None:
    begun = await site.begun()
    said = text(await site.page("m"))
    assert begun.url.replace("&", "&amp;") in said
    assert 'action="/_sidekey/login/m/cancel"' in said
    state = await told(site.proxy, "upstreams/m/login")
    assert (state["state"], state["url"]) == ("waiting", begun.url)
    cancelled = await site.post("m/cancel", token=await site.token())
    assert (cancelled.status, cancelled.field("Location")) == (303, ["/_sidekey/login/m"])
    assert "Not signed in: </strong>it was cancelled." in text(await site.page("m"))
    site.sandbox.approve_miauth(begun.session)
    assert (await site.returned(begun)).status == 409
    assert (await told(site.proxy, "upstreams/m/login"))["state"] == "failed"


async def test_a_second_sign_in_joins_the_one_under_way(site: Site) -> None:
    first = await site.begun()
    token = (await told(site.proxy, "overview"))["token"]
    second = await do(site.proxy, "upstreams/m/login", token=token)
    assert second.json()["url"] == first.url
    assert site.proxy.told(SignInBegun) == [SignInBegun("m")]


async def test_denied_and_left_alone_look_the_same_and_end_in_words(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Surprise 16: a denial never signals."""
    monkeypatch.setattr(sign_ins, "TIMEOUT", 0.2)
    monkeypatch.setattr(login, "POLL", 0.05)
    begun = await site.begun()
    answer = await site.returned(begun)
    assert answer.status == 409
    assert "denied, or the page left alone" in text(answer)
    assert "Try again" in text(answer)
    assert "denied, or the page left alone" in text(await site.page("m"))


async def test_a_browser_that_is_back_too_early_asks_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_routes, "PATIENCE", 0.1)
    begun = await site.begun()
    answer = await site.returned(begun)
    assert answer.status == 200
    assert 'http-equiv="refresh"' in text(answer)
    assert begun.session not in text(answer)


@pytest.mark.parametrize("query", ["", "?session=", f"?session={OTHER}", "?other=SESSION"])
async def test_a_callback_of_another_sign_in_changes_nothing(site: Site, query: str) -> None:
    begun = await site.begun()
    site.sandbox.approve_miauth(OTHER)
    query = query.replace("SESSION", begun.session)
    answer = await site.page(f"m/callback{query}", *FROM_THE_SERVER)
    assert (answer.status, "Not this sign-in" in text(answer)) == (400, True)
    assert begun.session not in text(answer)
    twice = await site.page(f"m/callback?session={begun.session}&session={OTHER}")
    assert twice.status == 400
    assert (await told(site.proxy, "upstreams/m/login"))["state"] == "waiting"
    assert site.proxy.source("m").entry is None


async def test_a_callback_of_no_sign_in_at_all_is_the_same(site: Site) -> None:
    for name in ("m", "key", "nope"):
        answer = await site.page(f"{name}/callback?session={OTHER}", *FROM_THE_SERVER)
        assert (answer.status, "Not this sign-in" in text(answer)) == (400, True)
    assert site.sandbox.calls.total() == 0


async def test_a_callback_does_not_answer_for_another_upstream(site: Site) -> None:
    begun = await site.begun("m")
    await site.begun("app")
    site.sandbox.approve_miauth(begun.session)
    answer = await site.page(f"app/callback?session={begun.session}", *FROM_THE_SERVER)
    assert answer.status == 400


async def test_only_a_form_of_ours_begins_or_cancels(site: Site) -> None:
    begun = await site.begun()
    for path in ("m", "app", "m/cancel"):
        for sent in ({}, {"token": ""}, {"token": "wrong"}):
            answer = await site.post(path, **sent)
            assert (answer.status, answer.field("Sidekey-Error")) == (403, ["cross-site-refused"])
    assert (await do(site.proxy, "upstreams/app/login", token="wrong")).status == 403
    assert site.proxy.told(SignInBegun) == [SignInBegun("m")]
    assert (await told(site.proxy, "upstreams/m/login"))["url"] == begun.url


async def test_a_form_that_is_too_long_is_refused(site: Site) -> None:
    answer = await site.post("m", token="x" * 5000)
    assert (answer.status, answer.field("Sidekey-Error")) == (413, ["content-too-large"])


async def test_the_browser_comes_back_to_where_it_was(site: Site) -> None:
    """Its cookies and storage are there, and in a container only that port is open."""
    host = f"m.localhost:{site.proxy.port}"
    token = await site.token()
    answer = await ask(
        site.proxy,
        "POST /_sidekey/login/m",
        f"Origin: http://{host}",
        "Sec-Fetch-Site: same-origin",
        content=f"token={token}".encode(),
        host=host,
    )
    begun = Begun(answer.field("Location")[0])
    assert begun.callback.startswith(f"http://{host}/_sidekey/login/m/callback?")


async def test_an_upstream_that_needs_no_sign_in_says_so(site: Site) -> None:
    answer = await site.page("key")
    assert (answer.status, "key needs no sign-in" in text(answer)) == (200, True)
    assert "<form" not in text(answer)
    begun = await do(site.proxy, "upstreams/key/login")
    assert (begun.status, begun.field("Sidekey-Error")) == (409, ["login-failed"])


async def test_an_unknown_upstream_is_404_and_the_nearest_one_is_named(site: Site) -> None:
    answer = await site.page("kez")
    assert answer.status == 404
    assert '<a href="/_sidekey/login/key">Sign in to key</a>' in text(answer)
    assert (await site.page("quite-another")).status == 404
    asked = await do(site.proxy, "upstreams/kez/login")
    assert (asked.status, asked.json()["fix"].startswith("name one of ")) == (404, True)
    assert "did you mean 'key'?" in asked.json()["detail"]


async def test_no_name_becomes_markup(site: Site) -> None:
    for name in ("%3Cscript%3E", "<b>", '"onload="', "'x'&amp;"):
        for path in (name, f"{name}/callback?session=<i>"):
            said = text(await site.page(path))
            assert "<b>" not in said
            assert "<i>" not in said
            assert "<script" not in said
            assert '"onload=' not in said


async def test_a_server_that_is_down_is_told_of(tmp_path: Path) -> None:
    upstreams = (
        "app: {preset: misskey-app, base_url: 'http://127.0.0.1:9', provider: {app_secret: x}}"
    )
    async with sidekey(tmp_path, upstreams) as proxy:
        site = Site(None, "", proxy)  # type: ignore[arg-type]  nobody serves it
        answer = await site.post("app", token=await site.token("app"))
        assert (answer.status, answer.field("Location")) == (303, ["/_sidekey/login/app"])
        assert "no connection" in text(await site.page("app"))
        begun = await do(proxy, "upstreams/app/login")
        assert (begun.status, begun.field("Sidekey-Error")) == (
            502,
            ["token-endpoint-unreachable"],
        )


async def test_a_server_that_names_another_place_is_shown_before_the_browser_goes_there(
    tmp_path: Path,
) -> None:
    """The page has promised to lead to the one that is configured."""
    async with signing_in(tmp_path, public="http://elsewhere.test") as site:
        answer = await site.post("app", token=await site.token("app"))
        assert answer.field("Location") == ["/_sidekey/login/app"]
        said = text(await site.page("app"))
        assert re.search(
            r'<a href="http://elsewhere.test/auth/[^"]+" [^>]*>elsewhere.test</a>', said
        )


async def test_where_clients_are_asked_who_they_are_a_stranger_sees_nothing(
    tmp_path: Path,
) -> None:
    async with signing_in(tmp_path, beginning=GUARDED) as site:
        shell = await site.page("m")
        assert (shell.status, "Client key" in text(shell)) == (200, True)
        for secret in ("misskey", "read:account", site.origin, 'name="token"'):
            assert secret not in text(shell)
        assert (await site.page("nope")).content == shell.content
        program = await ask(site.proxy, "GET /_sidekey/login/m")
        assert (program.status, program.field("Sidekey-Error")) == (401, ["client-key-required"])
        assert (await site.post("m", token="x")).status == 401
        assert (await ask(site.proxy, "GET /_sidekey/api/upstreams/m/login")).status == 401


async def test_where_clients_share_a_header_the_page_asks_for_its_value(tmp_path: Path) -> None:
    beginning = f"{BEGINNING}clients: {{header: {{name: X-Us, value: {PHANTOM}}}}}\n"
    async with signing_in(tmp_path, beginning=beginning) as site:
        shell = await site.page("m")
        assert (shell.status, "Value of X-Us" in text(shell)) == (200, True)
        assert 'data-header="X-Us"' in text(shell)
        for secret in ("misskey", "read:account", site.origin, 'name="token"', PHANTOM):
            assert secret not in text(shell)
        assert (await site.page("nope")).content == shell.content
        program = await ask(site.proxy, "GET /_sidekey/login/m")
        assert (program.status, program.json()["header"]) == (412, "X-Us")
        assert "read:account" in text(await site.page("m", f"X-Us: {PHANTOM}"))


async def test_where_clients_are_asked_who_they_are_the_state_alone_brings_the_browser_back(
    tmp_path: Path,
) -> None:
    for asked, shown in (
        (f"clients: {{keys: {PHANTOM}}}", SHOWN),
        (f"clients: {{header: {{name: X-Us, value: {PHANTOM}}}}}", f"X-Us: {PHANTOM}"),
    ):
        beginning = f"{BEGINNING}{asked}\n"
        async with signing_in(tmp_path, beginning=beginning, shown=(shown,)) as site:
            begun = await site.begun()
            foreign = await ask(
                site.proxy, f"GET /_sidekey/login/m/callback?session={OTHER}", *FROM_THE_SERVER
            )
            assert foreign.status == 400
            site.sandbox.approve_miauth(begun.session)
            answer = await site.returned(begun)
            assert (answer.status, "Signed in as @bob" in text(answer)) == (200, True)
            assert 'name="token"' not in text(answer)


async def test_a_sign_in_of_another_process_is_waited_for(tmp_path: Path) -> None:
    state = tmp_path / "state"
    beginning = f"listen: {{port: 0}}\nstore: {{type: file, path: {state}}}\n"
    async with signing_in(tmp_path, beginning=beginning) as site:
        token = await site.token()
        with only_login(state, "m"):
            page = await site.page("m")
            back = await site.page(f"m/callback?session={OTHER}", *FROM_THE_SERVER)
            told_of = await told(site.proxy, "upstreams/m/login")
            begun = await site.post("m", token=token)
        assert "Another process of sidekey waits" in text(page)
        assert (back.status, "Not this sign-in" in text(back)) == (400, True)
        assert told_of == {"state": "waiting"}
        assert begun.field("Location") == ["/_sidekey/login/m"]
        assert "Continue to" in text(await site.page("m"))
        assert site.sandbox.calls.total() == 0


async def test_a_change_of_the_upstream_ends_its_sign_in(site: Site, tmp_path: Path) -> None:
    begun = await site.begun()
    path = tmp_path / "sidekey.yaml"
    changed = "m: {preset: misskey, provider: {name: another},"
    path.write_text(path.read_text().replace("m: {preset: misskey,", changed))
    site.proxy.running.change(load(path, environ={}).settings)
    page = text(await site.page("m"))
    assert "<strong>another</strong>" in page
    assert "Continue to" in page
    assert (await site.returned(begun)).status == 400
    async with asyncio.timeout(10):
        while not site.proxy.told(SignInEnded):  # noqa: ASYNC110  what is under way may end
            await asyncio.sleep(0.01)
    why = "the configuration of the upstream has changed"
    assert site.proxy.told(SignInEnded) == [SignInEnded("m", None, why)]


async def test_a_change_of_another_upstream_does_not_end_a_sign_in(
    site: Site, tmp_path: Path
) -> None:
    begun = await site.begun()
    path = tmp_path / "sidekey.yaml"
    path.write_text(path.read_text().replace("canary-of-a-key", "canary-of-another-key"))
    site.proxy.running.change(load(path, environ={}).settings)
    site.sandbox.approve_miauth(begun.session)
    assert "Signed in as @bob" in text(await site.returned(begun))


async def test_the_end_of_the_proxy_ends_a_sign_in(tmp_path: Path) -> None:
    with tidy_loop():
        async with signing_in(tmp_path) as site, raw_client(site.proxy.port) as browser:
            begun = await site.begun()
            target = begun.callback.removeprefix(site.proxy.address)
            await browser.send(f"GET {target} HTTP/1.1\r\nHost: {site.proxy.host}\r\n\r\n".encode())
            await asyncio.sleep(0.1)
            proxy = site.proxy
        assert proxy.told(SignInEnded) == [SignInEnded("m", None, "sidekey has stopped")]


async def test_the_end_of_the_proxy_does_not_wait_for_a_server_that_never_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "GRACE", 0.1)
    asked = asyncio.Event()

    async def listen_for_ever(peer: Conversation) -> None:
        await peer.request()
        asked.set()
        await asyncio.Event().wait()

    with tidy_loop():
        async with (
            conversing(listen_for_ever) as server,
            sidekey(tmp_path, f"m: {{preset: misskey, base_url: '{server.origin}'}}") as proxy,
        ):
            await do(proxy, "upstreams/m/login")
            await asked.wait()
        assert proxy.told(SignInEnded) == [SignInEnded("m", None, "sidekey has stopped")]


async def test_a_token_that_is_on_its_way_when_the_proxy_ends_is_kept(tmp_path: Path) -> None:
    """Surprise 16: the server hands it out once."""
    asked = asyncio.Event()

    async def answer_late(peer: Conversation) -> None:
        await peer.request()
        asked.set()
        await asyncio.sleep(0.3)
        token = b'{"ok": true, "token": "canary-of-a-token", "user": {"username": "bob"}}'
        await peer.send(json_response("200 OK", token))

    async with (
        conversing(answer_late) as server,
        sidekey(tmp_path, f"m: {{preset: misskey, base_url: '{server.origin}'}}") as proxy,
    ):
        await do(proxy, "upstreams/m/login")
        await asked.wait()
    assert proxy.told(SignInEnded) == [SignInEnded("m", "@bob", None)]


async def test_a_program_is_told_where_a_browser_can_sign_in(site: Site) -> None:
    for host in (site.proxy.host, f"m.localhost:{site.proxy.port}"):
        path = "/m/api/i" if host == site.proxy.host else "/api/i"
        answer = await ask(site.proxy, f"GET {path}", "Accept: */*", host=host)
        problem = answer.json()
        assert (answer.status, answer.field("Sidekey-Error")) == (503, ["login-required"])
        assert problem["fix"] == "sidekey login m"
        assert problem["login_url"] == f"http://{host}/_sidekey/login/m"


async def test_nobody_is_sent_to_a_page_where_no_sign_in_would_help(tmp_path: Path) -> None:
    """A human has to act here too: to paste a new refresh token."""
    dead = json_response("400 Bad Request", b'{"message": "\'refreshtoken\' is incorrect"}')
    provider = "{type: jquants, refresh_token: canary-of-a-refresh-token}"
    async with (
        answering(dead) as server,
        sidekey(tmp_path, f"j: {{base_url: {server.origin}/v1, provider: {provider}}}") as proxy,
    ):
        answer = await ask(proxy, "GET /j/listed/info")
        page = await ask(proxy, "GET /j/listed/info", HTML)
        about = await ask(proxy, "GET /_sidekey/login/j", HTML)
    assert (answer.status, answer.field("Sidekey-Error")) == (503, ["login-required"])
    assert "login_url" not in answer.json()
    assert (page.status, "<form" in text(page)) == (503, False)
    for said in (text(page), text(about)):
        assert "refresh token is no longer good" in said


async def test_a_browser_that_meets_login_required_gets_the_page(site: Site) -> None:
    answer = await ask(site.proxy, "GET /m/api/i", HTML)
    assert (answer.status, answer.field("Sidekey-Error")) == (503, ["login-required"])
    assert 'action="/_sidekey/login/m"' in text(answer)
    posted = await ask(site.proxy, "POST /m/api/i", HTML, content=b"{}")
    assert (posted.status, "<form" in text(posted)) == (503, False)


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/json",
        "text/html,application/xhtml+xml,application/json",
        "application/problem+json",
        "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",  # Java's HttpURLConnection
        "text/html, image/gif, image/jpeg, */*; q=0.2",  # and of later years
        "text/html;q=0.8, application/json",
        "text/html;q=0.5, */*",
        "text/html;q=0",
        "text/html;q=much",
        "text/plain",
    ],
)
async def test_a_program_gets_problems_as_json(site: Site, accept: str) -> None:
    for path in ("/m/api/i", "/nope"):
        answer = await ask(site.proxy, f"GET {path}", f"Accept: {accept}")
        assert answer.field("Content-Type") == ["application/problem+json"]


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "TEXT/HTML; Q=0.9",
        "text/html, */*",
        "text/html, application/json;q=0.9",
        "text/html, text/*;q=0.5, image/*, application/*, audio/*",  # w3m
        "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01",  # Lynx
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    ],
)
async def test_who_prefers_html_gets_pages(site: Site, accept: str) -> None:
    for path in ("/m/api/i", "/nope", "/_sidekey/login/m", "/_sidekey/docs/"):
        answer = await ask(site.proxy, f"GET {path}", f"Accept: {accept}")
        assert answer.field("Content-Type") == ["text/html; charset=utf-8"], path


async def test_a_browser_gets_other_problems_as_a_page(site: Site) -> None:
    answer = await ask(site.proxy, "GET /nope<b>", HTML)
    assert answer.field("Content-Type") == ["text/html; charset=utf-8"]
    answer = await ask(site.proxy, "GET /nope", HTML)
    assert (answer.status, answer.field("Sidekey-Error")) == (404, ["unknown-upstream"])
    assert "no upstream has this route" in text(answer)
    assert '<a href="/_sidekey/problems/unknown-upstream">' in text(answer)


async def test_a_page_of_an_allowed_origin_never_gets_the_token_of_our_pages(
    tmp_path: Path,
) -> None:
    beginning = BEGINNING.replace("port: 0", "port: 0, allowed_origins: ['http://a.test']")
    async with signing_in(tmp_path, beginning=beginning) as site:
        token = await site.token()
        origin = "Origin: http://a.test"
        for path in ("/m/api/i", "/_sidekey/login/m", "/_sidekey/login/nope", "/nope"):
            answer = await ask(site.proxy, f"GET {path}", HTML, origin)
            assert not (token in text(answer) and answer.field("Access-Control-Allow-Origin"))
        read = await ask(site.proxy, "GET /m/api/i", HTML, origin)
        assert read.field("Access-Control-Allow-Origin") == ["http://a.test"]
        assert read.json()["fix"] == "sidekey login m"
        posted = await site.page("m", origin)
        assert posted.field("Access-Control-Allow-Origin") == []
        begun = await ask(
            site.proxy, "POST /_sidekey/login/m", origin, content=f"token={token}".encode()
        )
        assert (begun.status, site.proxy.told(SignInBegun)) == (403, [])


async def test_on_a_unix_socket_no_browser_is_led_anywhere(tmp_path: Path) -> None:
    beginning = f"listen: {{unix_socket: {tmp_path}/s}}\nstore: {{type: memory}}\n"
    async with signing_in(tmp_path, beginning=beginning) as site:
        answer = await ask(site.proxy, "GET /m/api/i")
        assert answer.status == 503
        assert "login_url" not in answer.json()
