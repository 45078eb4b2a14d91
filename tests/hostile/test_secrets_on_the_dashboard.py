"""What the dashboard is told of requests: nothing secret, and nothing that breaks it."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import Home
from gateway_samples import KEY, keyed
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import ask, ask_raw, message, raw_client
from raw_upstream import RawUpstream, answering, response

from proxy.events import RequestRefused
from proxy.observe.sharing import Board, Sharing
from proxy.observe.trail import Trail

OWN = "canary-real-key-of-the-client"
PHANTOM = "canary-of-a-phantom-key"
GUARDED = f"{BEGINNING}clients: {{keys: {PHANTOM}}}\n"
SHOWN = f"Authorization: Bearer {PHANTOM}"
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
PARTS = "Content-Type: multipart/form-data; boundary=x"
LIMIT = 10 * 1024  # bytes of a content that are kept


@asynccontextmanager
async def recording(
    folder: Path, *answers: bytes, key: str = KEY, more: str = ""
) -> AsyncIterator[tuple[RawUpstream, Sidekey]]:
    """Serve one upstream, and record contents."""
    async with answering(*answers) as upstream:
        text = keyed(upstream.origin, more=more).replace(KEY, key)
        async with sidekey(folder, text) as proxy:
            await switched(proxy, on=True)
            yield upstream, proxy


async def switched(proxy: Sidekey, *, on: bool) -> None:
    token = (await ask(proxy, "GET /_sidekey/api/overview")).json()["token"]
    fields = (f"Sidekey-Token: {token}", JSON)
    content = json.dumps({"content": on}).encode()
    answer = await ask(proxy, "POST /_sidekey/api/recording", *fields, content=content)
    assert answer.json() == {"records_content": on}


async def latest(proxy: Sidekey, *fields: str) -> Any:
    """Return what is told of the last request in detail."""
    [line, *_] = (await ask(proxy, "GET /_sidekey/api/requests", *fields)).json()["requests"]
    return (await ask(proxy, f"GET /_sidekey/api/requests/{line['id']}", *fields)).json()


PART = f'--x\r\nContent-Disposition: form-data; name="i"\r\n\r\n{OWN}\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("rule", "line", "fields", "content"),
    [
        ("{in: header, name: X-Auth}", "GET /r/a", [f"X-Auth: {OWN}"], ""),
        ("{in: query, name: key}", f"GET /r/a?a=1&key={OWN}", [], ""),
        ("{in: body, name: i}", "POST /r/a", [JSON], json.dumps({"a": 1, "i": OWN})),
        ("{in: body, name: i}", "POST /r/a", [FORM], f"a=1&i={OWN}"),
        ("{in: body, name: i}", "POST /r/a", [PARTS], PART),
    ],
    ids=["field", "query", "JSON", "form", "multipart"],
)
async def test_what_a_client_puts_in_the_place_of_the_credential_is_not_shown(
    tmp_path: Path, rule: str, line: str, fields: list[str], content: str
) -> None:
    async with recording(tmp_path, more=f"inject: {rule}") as (_, proxy):
        await ask(proxy, line, *fields, content=content.encode())
        details = await latest(proxy)
    assert details["status"] == 200
    assert OWN not in json.dumps(details)


async def test_a_shared_header_with_a_typing_mistake_is_not_shown(tmp_path: Path) -> None:
    beginning = f"{BEGINNING}clients: {{header: {{value: right-canary-value-0123}}}}\n"
    right = "Sidekey-Client: right-canary-value-0123"
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=beginning) as proxy,
    ):
        await ask(proxy, "GET /r/a", "Sidekey-Client: right-canary-value-0132")
        details = await latest(proxy, right)
    assert details["problem"] == "client-header-required"
    assert "right-canary" not in json.dumps(details)


@pytest.mark.parametrize("secret", ["correct horse,battery staple", "correct&horse battery,staple"])
async def test_of_a_secret_at_the_cut_no_half_is_shown(tmp_path: Path, secret: str) -> None:
    text = b"a" * (LIMIT - 17) + secret.encode() + b"b" * 100
    more = "inject: {in: query, name: k}"
    answer = response("200 OK", text)
    async with recording(tmp_path, answer, key=f"'{secret}'", more=more) as (_, proxy):
        await ask(proxy, "POST /r/a", content=text)
        details = await latest(proxy)
    for side in ("request", "answer"):
        assert details[side]["content"].startswith("aaa")
        assert "correct" not in details[side]["content"]


async def test_of_a_secret_at_the_cut_of_packed_content_no_half_is_shown(tmp_path: Path) -> None:
    key = "kcanary-key-1-that-is-quite-long-0123456789abcdef"
    packed = zlib.compress(b"a" * (LIMIT - 30) + key.encode(), wbits=31)
    async with recording(tmp_path, key=key) as (_, proxy):
        await ask(proxy, "POST /r/a", "Content-Encoding: gzip", content=packed)
        details = await latest(proxy)
    assert "kcanary" not in details["request"]["content"]
    assert details["request"]["content_note"] == "cut after 10 KiB"


async def test_contents_of_requests_under_way_are_forgotten_with_the_others(tmp_path: Path) -> None:
    async with recording(tmp_path) as (_, proxy):
        async with raw_client(proxy.place) as client:
            head = message("POST /r/a", "Content-Length: 16", host=proxy.host)
            await client.send(head + b"private ")
            await asyncio.sleep(0.2)
            await switched(proxy, on=False)
            await client.send(b"words.. ")
            await client.answer()
        details = await latest(proxy)
    assert details["request"]["content_note"] == "not recorded"
    assert "private" not in json.dumps(details)


async def test_user_and_password_of_an_absolute_target_are_not_shown(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        target = "http://me:canary-passw@api.example/v1/x?y=1"
        await ask_raw(proxy, message(f"GET {target}", host=proxy.host))
        details = await latest(proxy)
    assert "canary" not in json.dumps(details)
    assert details["request"]["target"] == "http://***@api.example/v1/x?y=1"


@pytest.mark.parametrize("fields", [["Origin: http://evil.example"], ["X-Forwarded-For: 1.2.3.4"]])
async def test_what_was_refused_for_its_sender_is_not_repeated(
    tmp_path: Path, fields: list[str]
) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(proxy, "GET /r/a", *fields)
        details = await latest(proxy)
    assert (details["replayable"], details["curl"]) == (False, None)


@pytest.mark.parametrize("path", ["overview", "explain?url=/r/a", "status"])
async def test_a_secret_that_stands_in_a_base_url_is_shown_nowhere(
    tmp_path: Path, path: str
) -> None:
    secret = "canary-project-key-0123456789"
    url = "http://127.0.0.1:9/v3/${PROJECT_SECRET}"
    text = f"r: {{base_url: '{url}', provider: {{type: api_key, keys: another-canary-key}}}}"
    place = "status" if path == "status" else f"api/{path}"
    async with sidekey(tmp_path, text, environ={"PROJECT_SECRET": secret}) as proxy:
        await ask(proxy, "GET /r/a")
        answer = await ask(proxy, f"GET /_sidekey/{place}")
    assert answer.status == 200
    assert secret.encode() not in answer.content


STRANGE = {
    "another host": b"GET /\xff HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET /\xff HTTP/1.1\r\n\r\n",
    "target": b"GET /r/\xff HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "field": b"GET /r/a HTTP/1.1\r\nHost: HOST\r\nX-A: \xff\r\n\r\n",
    "method": b"A" * 30_000 + b" /r/a HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "length": b"GET /" + b"a" * 32_000 + b" HTTP/1.1\r\nHost: evil.example\r\n\r\n",
}


@pytest.mark.parametrize("kind", STRANGE)
async def test_what_strangers_send_does_not_spoil_the_list(tmp_path: Path, kind: str) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=GUARDED) as proxy,
    ):
        await ask_raw(proxy, STRANGE[kind].replace(b"HOST", proxy.host.encode()))
        answer = await ask(proxy, "GET /_sidekey/api/requests", SHOWN)
        lines = answer.json()["requests"]
        for line in lines:
            told = await ask(proxy, f"GET /_sidekey/api/requests/{line['id']}", SHOWN)
            assert told.status == 200
    assert all(len(line["path"]) + len(line["method"]) < 600 for line in lines)


def test_long_paths_leave_room_for_what_workers_tell_each_other() -> None:
    trail = Trail(Sharing(Board(2), 0))
    for number in range(200):
        path = "/" + "a" * 32_000
        fact = RequestRefused(str(number), None, "GET", path, 421, "slug", "why", None, 0.0)
        trail.observe(fact)
    trail.look()
    assert len(trail.steps()) == 200


async def test_a_replay_tells_of_an_answer_that_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.observe.replay.PATIENCE", 0.5)
    slow = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
    async with recording(tmp_path, response("200 OK", b"ok"), slow) as (_, proxy):
        await ask(proxy, "GET /r/a")
        details = await latest(proxy)
        token = (await ask(proxy, "GET /_sidekey/api/overview")).json()["token"]
        line = f"POST /_sidekey/api/requests/{details['id']}/replay"
        answer = await ask(proxy, line, f"Sidekey-Token: {token}", "Content-Length: 0")
    assert (answer.status, answer.json()["status"]) == (200, 200)


async def test_a_long_query_does_not_hold_up_the_proxy_that_explains_it(home: Home) -> None:
    """Twice the length takes twice the time, not four times."""
    ended = await home.python(
        "import time; from proxy.gateway.masked_rules import masked_pairs\n"
        "def seconds(n):\n"
        "    began = time.process_time(); masked_pairs('a' * n)\n"
        "    return time.process_time() - began\n"
        "print(min(seconds(80_000) for _ in range(3)) / min(seconds(20_000) for _ in range(3)))"
    )
    assert float(ended.out) < 10, ended.said
