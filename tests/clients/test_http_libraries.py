"""curl, requests, httpx and websockets, each in the way that it is commonly used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import requests
import websockets
from command_line import Home
from proxying import Sidekey, sidekey

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve


@dataclass
class Route:
    """A route to a Misskey server; `token` is what has to arrive there."""

    proxy: Sidekey
    sandbox: MisskeySandbox
    token: str

    def url(self, rest: str) -> str:
        return self.proxy.url("m", rest)

    def bodies(self, path: str) -> list[bytes]:
        return [request.body for request in self.sandbox.requests if request.target == path]


@pytest.fixture
async def route(tmp_path: Path) -> AsyncIterator[Route]:
    sandbox = MisskeySandbox()
    token = sandbox.issue_token(["read:account", "write:notes", "write:drive"])
    async with serve(sandbox.application()) as origin:
        upstream = (
            f"m: {{preset: misskey-token, base_url: '{origin}', provider: {{token: {token}}}}}"
        )
        async with sidekey(tmp_path, upstream) as proxy:
            yield Route(proxy, sandbox, token)


def ask_with_requests(route: Route) -> list[tuple[int, str]]:
    """Send JSON, a bare string, nothing at all, and a file."""
    with requests.Session() as session:
        session.trust_env = False
        answers = [
            session.post(route.url("/api/notes/create"), json={"text": "json"}),
            session.post(route.url("/api/notes/create"), data=json.dumps({"text": "bare"})),
            session.post(route.url("/api/i")),
            session.post(
                route.url("/api/drive/files/create"),
                files={"file": ("a.txt", b"content")},
                data={"name": "renamed.txt"},
            ),
        ]
    return [(answer.status_code, answer.text) for answer in answers]


async def test_requests_sends_json_nothing_and_a_file(route: Route) -> None:
    """A bare string without Content-Type has no place for `i`; the real server refuses it too."""
    answers = await asyncio.to_thread(ask_with_requests, route)
    json_, bare, nothing, file = answers
    assert (json_[0], nothing[0], file[0]) == (200, 200, 200), answers
    assert json.loads(json_[1])["createdNote"]["text"] == "json"
    assert json.loads(nothing[1])["username"] == "bob"
    assert json.loads(file[1])["name"] == "renamed.txt"
    problem = json.loads(bare[1])
    assert (bare[0], problem["type"]) == (415, "/_sidekey/problems/content-not-injectable")
    assert "Content-Type" in problem["fix"] or "application/json" in problem["fix"]


async def test_httpx_works_both_ways(route: Route) -> None:
    def ask() -> list[httpx.Response]:
        with httpx.Client(base_url=route.url("/api/"), trust_env=False) as client:
            return [
                client.post("i", json={"i": "dummy"}),
                client.post("drive/files/create", files={"file": ("a.txt", b"content")}),
            ]

    answers = await asyncio.to_thread(ask)
    async with httpx.AsyncClient(
        base_url=route.url("/api/"), trust_env=False, http2=False
    ) as client:
        answers += await asyncio.gather(*(client.post("i", json={}) for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert {json.loads(body)["i"] for body in route.bodies("/api/i")} == {route.token}


async def test_curl_sends_json_a_file_and_its_upload_without_a_credential(
    route: Route, home: Home
) -> None:
    (home.work / "a.txt").write_text("content")
    (home.work / "note.json").write_text('{"text": "chunked"}')
    note = f"{route.url('/api/notes/create')} --json @note.json -H 'Transfer-Encoding: chunked'"
    lines = [
        f"curl -sSf {route.url('/api/i')} --json '{{}}'",
        f"curl -sSf {route.url('/api/i')} --json '{{}}' -H 'Authorization: Bearer dummy'",
        f"curl -sSf {route.url('/api/drive/files/create')} -F file=@a.txt -F i=dummy",
        f"curl -sSf {note}",
    ]
    ended = await home.shell(" && echo && ".join(lines))
    assert ended.code == 0, ended.err
    first, second, file, created = map(json.loads, ended.out.splitlines())
    assert first["username"] == second["username"] == "bob"
    assert file["name"] == "a.txt"
    assert created["createdNote"]["text"] == "chunked"
    assert "dummy" not in str(route.sandbox.requests)


@pytest.mark.parametrize("query", ["", "?i=dummy"])
async def test_websockets_gets_the_notes_of_a_channel(route: Route, query: str) -> None:
    url = route.url(f"/streaming{query}").replace("http://", "ws://")
    async with websockets.connect(url, proxy=None) as stream:
        connect = {"type": "connect", "body": {"channel": "homeTimeline", "id": "1", "params": {}}}
        await stream.send(json.dumps(connect))
        await (await stream.ping())
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(route.url("/api/notes/create"), json={"text": "streamed"})
        async with asyncio.timeout(20):
            message = json.loads(await stream.recv())
    assert message["body"]["body"]["text"] == "streamed"
    assert "dummy" not in str(route.sandbox.requests)
