"""What the dashboard is told, and what it can have the proxy do."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_samples import KEY, keyed
from pages_client import do, told, viewing
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import ask
from raw_upstream import OK, RawUpstream, answering, response
from token_server import token_server

from proxy.events import ConfigRefused, ConfigReloaded, RequestAborted

PHANTOM = "canary-of-a-phantom-key"
GUARDED = f"{BEGINNING}clients: {{keys: {PHANTOM}}}\n"
SHOWN = f"Authorization: Bearer {PHANTOM}"


@asynccontextmanager
async def proxying(
    folder: Path, *answers: bytes, beginning: str = BEGINNING
) -> AsyncIterator[tuple[RawUpstream, Sidekey]]:
    """Serve one upstream with a key."""
    async with (
        answering(*answers) as upstream,
        sidekey(folder, keyed(upstream.origin), beginning=beginning) as proxy,
    ):
        yield upstream, proxy


async def latest(proxy: Sidekey) -> Any:
    """Return what is told of the last request in detail."""
    [line, *_] = (await told(proxy, "requests"))["requests"]
    return await told(proxy, f"requests/{line['id']}")


async def test_the_overview_tells_of_each_upstream_and_how_to_call_it(tmp_path: Path) -> None:
    async with proxying(tmp_path) as (upstream, proxy):
        await ask(proxy, "GET /r/a")
        overview = await told(proxy, "overview")
    [card] = overview["upstreams"]
    assert (card["upstream"], card["state"], card["provider"]) == ("r", "ready", "api_key")
    assert (card["url"], card["base_url"]) == (proxy.url("r"), upstream.origin)
    assert card["curl"] == f"curl -i {proxy.url('r')}/"
    assert (card["interactive"], card["renewable"]) == (False, False)
    assert (overview["address"], overview["records_content"]) == (proxy.address, False)


async def test_requests_are_told_of_the_newest_first(tmp_path: Path) -> None:
    async with proxying(tmp_path) as (_upstream, proxy):
        for path in ("/r/a?secret=1", "/r/a?secret=1", "/r/a?secret=1", "/nope/b"):
            await ask(proxy, f"GET {path}")
        lines = (await told(proxy, "requests"))["requests"]
    assert [line["path"] for line in lines] == ["/nope/b", "/r/a", "/r/a", "/r/a"]
    assert [line["outcome"] for line in lines] == ["refused", *["forwarded"] * 3]
    numbers = [line["seq"] for line in lines]
    assert numbers == sorted(set(numbers), reverse=True)
    refused, forwarded = lines[0], lines[1]
    assert (refused["problem"], refused["status"]) == ("unknown-upstream", 404)
    assert (forwarded["upstream"], forwarded["status"]) == ("r", 200)
    assert 0 < forwarded["upstream_seconds"] <= forwarded["seconds"]


async def test_no_more_than_200_requests_are_remembered(tmp_path: Path) -> None:
    async with proxying(tmp_path) as (_upstream, proxy):
        first = None
        for number in range(203):
            await ask(proxy, f"GET /r/{number}")
            first = first or (await told(proxy, "requests"))["requests"][0]["id"]
        lines = (await told(proxy, "requests"))["requests"]
        gone = await ask(proxy, f"GET /_sidekey/api/requests/{first}")
    assert [line["path"] for line in lines] == [f"/r/{number}" for number in range(202, 2, -1)]
    assert (gone.status, gone.field("Sidekey-Error")) == (404, ["unknown-upstream"])


@pytest.mark.parametrize("count", [1, 3], ids=["ordinary lane", "fast lane"])
async def test_fields_are_shown_without_their_secrets(tmp_path: Path, count: int) -> None:
    answer = response("200 OK", b"ok", "X-Session-Token: canary-of-the-answer", "X-Plain: yes")
    async with proxying(tmp_path, answer) as (_upstream, proxy):
        fields = ("Cookie: canary-cookie=1", "X-Note: it is canary-key-1!", "X-Plain: yes")
        for _ in range(count):
            await ask(proxy, "GET /r/a?code=7&access_token=canary-token&x=canary-key-1", *fields)
        details = await latest(proxy)
    assert details["request"]["target"] == "/r/a?code=7&access_token=***&x=***"
    shown = dict(details["request"]["fields"])
    assert (shown["Cookie"], shown["X-Note"], shown["X-Plain"]) == ("***", "it is ***!", "yes")
    assert ["X-Session-Token", "***"] in details["answer"]["fields"]
    assert ["X-Plain", "yes"] in details["answer"]["fields"]
    assert "canary" not in json.dumps(details)


async def test_contents_are_recorded_only_while_somebody_wants_it(tmp_path: Path) -> None:
    answer = response("200 OK", b'{"answered": "canary-key-1"}')
    async with proxying(tmp_path, answer) as (_upstream, proxy):
        await ask(proxy, "POST /r/a", content=b"before")
        before = await latest(proxy)
        switched = (await do(proxy, "recording", {"content": True})).json()
        for _ in range(3):  # the fast lane would take the third one
            await ask(proxy, "POST /r/a", content=b'{"sent": "canary-key-1 and more"}')
        during = await latest(proxy)
        await do(proxy, "recording", {"content": False})
        after = await latest(proxy)
    assert (before["request"]["content"], before["request"]["content_note"]) == (
        None,
        "not recorded",
    )
    assert switched == {"records_content": True}
    assert during["request"]["content"] == '{"sent": "*** and more"}'
    assert during["answer"]["content"] == '{"answered": "***"}'
    assert after["request"] is None


@pytest.mark.parametrize(
    ("content", "fields", "shown", "note"),
    [
        (zlib.compress(b"plain words", wbits=31), ["Content-Encoding: gzip"], "plain words", None),
        (b"\x8b\x00", ["Content-Encoding: br"], None, "compressed with br"),
        (b"\xff\xfe\x00\x01", [], None, "4 bytes that are no text"),
        (b"a" * 10239 + b" bcd", [], "a" * 10239 + " ", "cut after 10 KiB"),
        (b"", [], None, None),
    ],
    ids=["gzip", "br", "binary", "long", "empty"],
)
async def test_a_recorded_content_is_shown_as_text_where_it_is_text(
    tmp_path: Path, content: bytes, fields: list[str], shown: str | None, note: str | None
) -> None:
    answer = response("200 OK", content, *fields)
    async with proxying(tmp_path, answer) as (_upstream, proxy):
        await do(proxy, "recording", {"content": True})
        await ask(proxy, "GET /r/a")
        details = await latest(proxy)
    assert (details["answer"]["content"], details["answer"]["content_note"]) == (shown, note)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_is_sent_again_as_it_was(tmp_path: Path, method: str) -> None:
    content = b'{"text": "hello"}' if method == "POST" else b""
    async with proxying(tmp_path) as (upstream, proxy):
        await do(proxy, "recording", {"content": True})
        fields = ("X-Note: one", "X-Note: two", "Content-Type: application/json")
        await ask(proxy, f"{method} /r/a%2Cb?x=1&x=2", *fields, content=content)
        details = await latest(proxy)
        answer = await do(proxy, f"requests/{details['id']}/replay")
        again = await latest(proxy)
    assert answer.json() == {"id": again["id"], "status": 200}
    assert again["id"] != details["id"]
    first, second = upstream.requests
    assert (second.line, second.content) == (first.line, first.content)
    assert second.fields == first.fields


async def test_what_was_not_kept_whole_is_not_sent_again(tmp_path: Path) -> None:
    async with proxying(tmp_path) as (upstream, proxy):
        await ask(proxy, "POST /r/a", content=b"not recorded")
        details = await latest(proxy)
        answer = await do(proxy, f"requests/{details['id']}/replay")
    assert (details["replayable"], details["why_not"]) == (False, "its content was not recorded")
    assert (answer.status, answer.field("Sidekey-Error")) == (403, ["not-allowed"])
    assert len(upstream.requests) == 1


async def test_the_curl_line_sends_the_same_but_for_secrets(tmp_path: Path) -> None:
    async with proxying(tmp_path) as (upstream, proxy):
        await do(proxy, "recording", {"content": True})
        fields = ("X-Note: it's one", "Authorization: Bearer canary-of-the-client")
        await ask(proxy, "PUT /r/a?b='c'", *fields, content=b'it\'s "quoted"')
        details = await latest(proxy)
        process = await asyncio.create_subprocess_shell(
            details["curl"], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        printed, _ = await process.communicate()
    first, second = upstream.requests
    assert printed.startswith(b"HTTP/1.1 200 OK")
    assert "canary" not in details["curl"]
    assert (second.line, second.content) == (first.line, first.content)
    assert second.field("X-Note") == ["it's one"]


async def test_the_story_tells_why_a_request_waited_and_was_sent_again(tmp_path: Path) -> None:
    async with token_server() as server, sidekey(tmp_path, server.upstreams("r")) as proxy:
        await ask(proxy, "GET /r/a")
        first = await latest(proxy)
        await ask(proxy, "GET /r/a")
        plain = await latest(proxy)
        server.revoke()
        await ask(proxy, "GET /r/a")
        replayed = await latest(proxy)
    assert (first["renewed"], first["replayed"]) == (True, False)
    assert "there was none yet" in first["story"][0]
    assert first["token_seconds"] > 0
    assert plain["story"][0] == "It was sent with what was at hand, without waiting for a token."
    assert (replayed["renewed"], replayed["replayed"], replayed["status"]) == (True, True, 200)
    assert "the upstream had rejected the one before it" in replayed["story"][0]
    assert "sent once more" in replayed["story"][1]


async def test_the_story_of_a_refusal_says_what_to_do(tmp_path: Path) -> None:
    text = "r: {base_url: http://127.0.0.1:9, provider: {type: miauth, name: n, permission: []}}"
    async with sidekey(tmp_path, text) as proxy:
        await ask(proxy, "GET /r/a")
        details = await latest(proxy)
    assert details["problem"] == "login-required"
    assert details["story"] == [
        "sidekey answered it itself, with the problem login-required: nobody has signed in yet.",
        "Without a credential nothing is sent: the upstream has not seen it.",
        "What to do: sidekey login r.",
    ]


async def test_a_token_is_renewed_and_forgotten_on_demand(tmp_path: Path) -> None:
    async with token_server() as server, sidekey(tmp_path, server.upstreams("r")) as proxy:
        await ask(proxy, "GET /r/a")
        renewed = (await do(proxy, "upstreams/r/renew")).json()
        forgotten = (await do(proxy, "upstreams/r/forget")).json()
    assert (renewed["state"], renewed["generation"]) == ("ready", 2)
    assert forgotten["state"] == "idle"


async def test_a_renewal_that_fails_is_a_problem(tmp_path: Path) -> None:
    serving = token_server(locked=True)
    async with serving as server, sidekey(tmp_path, server.upstreams("r")) as proxy:
        answer = await do(proxy, "upstreams/r/renew")
        [card] = (await told(proxy, "overview"))["upstreams"]
    assert (answer.status, answer.field("Sidekey-Error")) == (502, ["grant-rejected"])
    assert (card["state"], card["problem"]) == ("blocked", "grant-rejected")


@pytest.mark.parametrize(
    ("path", "status"),
    [("upstreams/r/renew", 403), ("upstreams/nope/renew", 404), ("upstreams/nope/forget", 404)],
)
async def test_what_cannot_be_done_is_said(tmp_path: Path, path: str, status: int) -> None:
    async with proxying(tmp_path) as (_upstream, proxy):
        assert (await do(proxy, path)).status == status


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_nothing_is_done_without_the_token_of_our_pages(tmp_path: Path, token: str) -> None:
    """Another program of this machine may do it: it can read the token. A web page cannot."""
    async with proxying(tmp_path) as (upstream, proxy):
        await ask(proxy, "GET /r/a")
        answers = [
            await do(proxy, path, {"content": True}, token=token)
            for path in (
                "recording",
                "upstreams/r/forget",
                "upstreams/r/renew",
                "requests/1/replay",
            )
        ]
        overview = await told(proxy, "overview")
    assert {answer.status for answer in answers} == {403}
    assert {answer.field("Sidekey-Error")[0] for answer in answers} == {"cross-site-refused"}
    assert overview["records_content"] is False
    assert len(upstream.requests) == 1


async def test_a_page_of_another_origin_that_may_call_the_apis_may_do_nothing_here(
    tmp_path: Path,
) -> None:
    page = "Origin: http://localhost:5173"
    allowed = "listen: {port: 0, allowed_origins: ['http://localhost:5173']}\n"
    beginning = f"{allowed}store: {{type: memory}}\n"
    async with proxying(tmp_path, beginning=beginning) as (_, proxy):
        answer = await do(proxy, "recording", {"content": True}, page)
        read = await ask(proxy, "GET /_sidekey/api/overview", page)
    assert (answer.status, answer.field("Sidekey-Error")) == (403, ["cross-site-refused"])
    assert read.field("Access-Control-Allow-Origin") == []


PAGES = ["overview", "stream", "requests", "requests/1"]


@pytest.mark.parametrize("path", PAGES)
async def test_strangers_are_told_nothing(tmp_path: Path, path: str) -> None:
    async with proxying(tmp_path, beginning=GUARDED) as (_, proxy):
        answer = await ask(proxy, f"GET /_sidekey/api/{path}")
        shell = await ask(proxy, "GET /_sidekey/static/nope.js")
    assert (answer.status, answer.field("Sidekey-Error")) == (401, ["client-key-required"])
    assert shell.status == 404


async def test_a_curl_line_names_the_variable_that_a_phantom_key_stands_in(tmp_path: Path) -> None:
    text, beginning = keyed("http://127.0.0.1:9"), f'{BEGINNING}clients: {{keys: "${{WHO}}"}}\n'
    async with sidekey(tmp_path, text, environ={"WHO": PHANTOM}, beginning=beginning) as proxy:
        overview = await told(proxy, "overview", SHOWN)
    assert overview["upstreams"][0]["curl"].startswith('curl -i -H "Authorization: Bearer $WHO" ')


async def test_a_curl_line_is_the_same_to_a_shell_whatever_the_field_is_called(
    tmp_path: Path,
) -> None:
    who = "clients: {header: {name: 'X-$HOME`echo`', value: '${WHO}'}}"
    text, beginning = keyed("http://127.0.0.1:9"), f"{BEGINNING}{who}\n"
    shown = f"X-$HOME`echo`: {PHANTOM}"
    async with sidekey(tmp_path, text, environ={"WHO": PHANTOM}, beginning=beginning) as proxy:
        overview = await told(proxy, "overview", shown)
    line = overview["upstreams"][0]["curl"].replace("curl", "printf '%s\\n'", 1)
    shell = await asyncio.create_subprocess_exec(
        "sh", "-c", line, env={"WHO": PHANTOM, "HOME": "/"}, stdout=asyncio.subprocess.PIPE
    )
    assert shown in (await shell.communicate())[0].decode().splitlines()


async def test_a_phantom_key_opens_the_api_and_is_not_shown(tmp_path: Path) -> None:
    async with proxying(tmp_path, beginning=GUARDED) as (upstream, proxy):
        await ask(proxy, f"GET /r/a?note={PHANTOM}", SHOWN)
        overview = await told(proxy, "overview", SHOWN)
        [line] = (await told(proxy, "requests", SHOWN))["requests"]
        details = await told(proxy, f"requests/{line['id']}", SHOWN)
        again = await do(proxy, f"requests/{line['id']}/replay", None, SHOWN)
    assert overview["upstreams"][0]["curl"].startswith(
        "curl -i -H 'Authorization: Bearer <clients.keys>' "
    )
    assert "canary" not in json.dumps([overview, details])
    assert again.json()["status"] == 200
    assert KEY in upstream.requests[1].field("Authorization")[0]


async def test_the_stream_tells_what_is_new(tmp_path: Path) -> None:
    async with token_server() as server, sidekey(tmp_path, server.upstreams("r")) as proxy:
        async with viewing(proxy) as viewer:
            assert (await viewer.event("upstreams"))[0]["state"] == "idle"
            await ask(proxy, "GET /r/a")
            news = await viewer.event("requests")
            state = (await viewer.event("upstreams"))[0]["state"]
        assert [line["path"] for line in news["requests"]] == ["/r/a"]
        assert state == "ready"
        async with viewing(proxy, "?since=0") as viewer:
            again = await viewer.event("requests")
    assert again["requests"][0] == news["requests"][0]


async def test_of_a_flood_of_requests_the_stream_tells_the_newest_50(tmp_path: Path) -> None:
    async with proxying(tmp_path) as (_upstream, proxy):
        for number in range(70):
            await ask(proxy, f"GET /r/{number}")
        async with viewing(proxy, "?since=0") as viewer:
            news = await viewer.event("requests")
    assert [line["path"] for line in news["requests"]] == [f"/r/{n}" for n in range(20, 70)]
    assert news["skipped"] == 20


async def test_a_refused_configuration_is_told_until_it_is_mended(tmp_path: Path) -> None:
    async with proxying(tmp_path) as (_upstream, proxy):
        proxy.running.observe(ConfigRefused(("sidekey.yaml:3:1: unknown key",)))
        refused = await told(proxy, "overview")
        status = (await ask(proxy, "GET /_sidekey/status")).json()
        proxy.running.observe(ConfigReloaded((), (), ()))
        mended = await told(proxy, "overview")
    assert refused["config"]["refused"] == status["refused"] == ["sidekey.yaml:3:1: unknown key"]
    assert "refused" not in mended["config"]


async def test_a_viewer_does_not_hold_up_the_end_of_the_proxy(tmp_path: Path) -> None:
    less_than_requests_get = asyncio.timeout(4)
    async with (
        less_than_requests_get,
        AsyncExitStack() as stack,
        proxying(tmp_path) as (_, proxy),
    ):
        viewer = await stack.enter_async_context(viewing(proxy))
        await viewer.event("upstreams")


async def test_a_viewer_who_leaves_is_no_request_that_was_cut_off(tmp_path: Path) -> None:
    async with proxying(tmp_path) as (_, proxy):
        async with viewing(proxy) as viewer:
            await viewer.event("upstreams")
        await asyncio.sleep(0.05)
    assert proxy.told(RequestAborted) == []


async def test_a_request_is_explained_without_being_sent(tmp_path: Path) -> None:
    async with proxying(tmp_path) as (upstream, proxy):
        told_one = await told(proxy, "explain?method=get&url=/r/a%3Fb=1")
        refused = await told(proxy, "explain?url=/r/a/../b")
        wrong = await ask(proxy, "GET /_sidekey/api/explain?url=ftp://x")
    assert (told_one["outcome"], told_one["upstream"]) == ("sent", "r")
    assert "Bearer ***" in json.dumps(told_one)
    assert told_one["local"].startswith(f"{proxy.address}/r/a")
    assert "canary" not in json.dumps([told_one, refused])
    assert refused["refusal"]["slug"] == "bad-target"
    assert (wrong.status, wrong.field("Sidekey-Error")) == (400, ["bad-target"])
    assert upstream.requests == []


async def test_the_series_counts_requests_and_errors(tmp_path: Path) -> None:
    async with proxying(tmp_path, OK, response("500 Oh")) as (_, proxy):
        async with viewing(proxy) as viewer:
            await viewer.event("upstreams")
            for path in ("/r/a", "/r/b", "/nope"):
                await ask(proxy, f"GET {path}")
            news: list[Any] = []
            while sum(point["requests"] for point in news) < 3:
                news = (await viewer.event("points"))["points"]
        series = await told(proxy, "series")
    assert sum(point["requests"] for point in series["points"]) == 3
    assert sum(point["errors"] for point in series["points"]) == 2
    assert series["points"][0]["p50"] > 0
    assert series["step"] == 10


async def test_everybody_who_looks_is_told_that_contents_are_recorded(tmp_path: Path) -> None:
    async with proxying(tmp_path) as (_, proxy), viewing(proxy) as viewer:
        before = await viewer.event("recording")
        await do(proxy, "recording", {"content": True})
        after = await viewer.event("recording")
    assert (before, after) == ({"records_content": False}, {"records_content": True})


@pytest.mark.parametrize(
    ("answer", "problem"), [(response("401 No"), "credential-rejected"), (None, None)]
)
async def test_a_card_tells_what_was_wrong_with_the_last_request(
    tmp_path: Path, answer: bytes | None, problem: str | None
) -> None:
    async with proxying(tmp_path, *([] if answer is None else [answer])) as (_, proxy):
        await ask(proxy, "GET /r/a")
        [card] = (await told(proxy, "overview"))["upstreams"]
    assert (card["state"], card.get("problem")) == ("ready", problem)


async def test_an_upstream_that_is_down_shows_on_its_card(tmp_path: Path) -> None:
    async with sidekey(tmp_path, keyed("http://127.0.0.1:9")) as proxy:
        await ask(proxy, "GET /r/a")
        [card] = (await told(proxy, "overview"))["upstreams"]
    assert card["problem"] == "upstream-unreachable"
    assert card["fix"] == "see whether base_url of upstreams.r is right and the server up"
