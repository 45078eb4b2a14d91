"""Provokes each problem in a running proxy, as it happens to people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import free_port
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import ask, ask_raw, message, raw_client
from raw_upstream import OK, Conversation, answering, conversing

from proxy.credentials import exchange
from proxy.credentials.source import PATIENCE
from proxy.gateway.forwarding import Forwarding
from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.serving import serve
from proxy.sources import build_source

Scene = Callable[[Path, pytest.MonkeyPatch], Awaitable[dict[str, Any]]]
SCENES: dict[str, Scene] = {}
JQUANTS = "https://api.jquants.com"
PORTAL = "https://api.aispf.global.fujitsu.com"
NOWHERE = "http://127.0.0.1:9"
MISSKEY = (
    f"misskey: {{preset: misskey-token, base_url: '{NOWHERE}', provider: {{token: made-up-token}}}}"
)
MASTER = "GET /jquants/equities/master?code=86970"


def scene(slug: str) -> Callable[[Scene], Scene]:
    def keep(run: Scene) -> Scene:
        SCENES[slug] = run
        return run

    return keep


def jquants(origin: str = NOWHERE, more: str = "", key: str = "made-up-key") -> str:
    base_url = f"base_url: '{origin}/v2', provider: {{keys: {key}}}"
    return f"jquants: {{preset: jquants-v2, {base_url}{', ' if more else ''}{more}}}"


@asynccontextmanager
async def hanging() -> AsyncIterator[str]:
    """An upstream that takes requests and answers none."""

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await asyncio.Event().wait()

    async with conversing(converse) as upstream:
        yield upstream.origin


async def asked(folder: Path, upstreams: str, line: str, *fields: str, **more: Any) -> Any:
    """The problem that a request gets; `beginning` is the text before `upstreams`."""
    beginning = more.pop("beginning", BEGINNING)
    async with sidekey(folder, upstreams, beginning=beginning) as proxy:
        return (await ask(proxy, line, *fields, **more)).json()


def replaced(problem: dict[str, Any], *pairs: tuple[str, str]) -> dict[str, Any]:
    """The problem with the names of the world in place of a test's."""
    text = json.dumps(problem)
    for old, new in pairs:
        text = text.replace(old, new)
    said: dict[str, Any] = json.loads(text)
    return said


@scene("unknown-upstream")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return await asked(folder, jquants(), "GET /jquant/equities/master")


@scene("host-refused")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return await asked(folder, jquants(), MASTER, host="sidekey:8080")


@scene("cross-site-refused")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return await asked(folder, jquants(), MASTER, "Origin: http://localhost:5173")


@scene("peer-refused")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return await asked(folder, jquants(), MASTER, "X-Forwarded-For: 192.0.2.7")


@scene("client-header-required")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    beginning = f"{BEGINNING}clients: {{header: {{value: made-up-header-value}}}}\n"
    return await asked(folder, jquants(), MASTER, beginning=beginning)


@scene("client-key-required")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    beginning = f"{BEGINNING}clients: {{keys: made-up-phantom-key}}\n"
    return await asked(folder, jquants(), MASTER, beginning=beginning)


@scene("not-allowed")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    provider = "provider: {client_id: me, client_secret: made-up-secret}"
    upstream = f"portal: {{preset: fujitsu-portal-oauth2, {provider}}}"
    return await asked(folder, upstream, "POST /portal/auth/v2/tokens", "Content-Length: 0")


@scene("method-not-allowed")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return await asked(folder, jquants(), "PURGE /jquants/equities/master")


@scene("credential-conflict")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    upstream = jquants(more="client_credential: reject")
    return await asked(folder, upstream, MASTER, "x-api-key: one-of-the-clients-own")


@scene("bad-target")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return await asked(folder, jquants(), "GET /jquants/projects/group%2Fname")


@scene("target-too-long")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return await asked(folder, jquants(), f"GET /jquants/a?{'x' * 20_000}")


@scene("bad-message")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    async with sidekey(folder, jquants()) as proxy:
        return (await ask_raw(proxy, b"GET / HTTP/1.1\r\n\r\n")).json()


@scene("client-too-slow")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    fields = "Content-Type: application/json", "Content-Length: 100"
    beginning = "listen: {port: 0, timeouts: {content: 1s}}\nstore: {type: memory}\n"
    async with sidekey(folder, MISSKEY, beginning=beginning) as proxy:
        problem = (await ask(proxy, "POST /misskey/api/i", *fields)).json()
    return replaced(problem, ("for 1 seconds", "for 30 seconds"))


@scene("rate-limited")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    async with (
        answering(OK) as upstream,
        sidekey(folder, jquants(upstream.origin, "limits: {rate: 5/m}")) as proxy,
    ):
        await ask(proxy, MASTER)
        return (await ask(proxy, MASTER)).json()


@scene("too-many-requests")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    async with (
        hanging() as origin,
        sidekey(folder, jquants(origin, "limits: {concurrency: 1}")) as proxy,
        raw_client(proxy.place) as first,
    ):
        await first.send(message(MASTER, host=proxy.host))
        return await once_refused(proxy)


async def once_refused(proxy: Sidekey) -> dict[str, Any]:
    """Ask until the first request is under way."""
    while True:
        with_patience = asyncio.wait_for(ask(proxy, MASTER), 1)
        try:
            answer: dict[str, Any] = (await with_patience).json()
        except TimeoutError:
            continue
        return answer


@scene("loop-detected")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    port = free_port()
    beginning = f"listen: {{port: {port}}}\nstore: {{type: memory}}\n"
    upstream = jquants(more=f"base_url: 'http://127.0.0.1:{port}/jquants'").replace(
        "base_url: 'http://127.0.0.1:9/v2', ", ""
    )
    return await asked(folder, upstream, MASTER, beginning=beginning)


@scene("content-too-large")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    content = b'{"text": "' + b"x" * 2**20 + b'"}'
    kind = "Content-Type: application/json"
    return await asked(folder, MISSKEY, "POST /misskey/api/i", kind, content=content)


@scene("content-not-injectable")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    line, kind = "POST /misskey/api/notes/create", "Content-Type: text/plain"
    return await asked(folder, MISSKEY, line, kind, content=b"text=hello")


@scene("login-required")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    upstream = "misskey: {preset: misskey, base_url: 'https://misskey.example'}"
    return await asked(folder, upstream, "POST /misskey/api/i", "Content-Length: 0")


@scene("grant-rejected")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    async with serve(JQuantsV1().application()) as origin:
        provider = "provider: {mailaddress: me@example.com, password: wrong-password}"
        upstream = f"jquants: {{preset: jquants-v1, base_url: '{origin}/v1', {provider}}}"
        return await asked(folder, upstream, "GET /jquants/listed/info")


@scene("credential-rejected")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """No problem: the upstream's own answer, with a field."""
    async with (
        serve(JQuantsV2().application()) as origin,
        sidekey(folder, jquants(origin)) as proxy,
    ):
        answer = await ask(proxy, MASTER)
    assert answer.field("Sidekey-Error") == ["credential-rejected"]
    said: dict[str, Any] = answer.json()
    return said


def portal(origin: str) -> str:
    provider = "provider: {client_id: me, client_secret: made-up-secret}"
    return f"portal: {{preset: fujitsu-portal-oauth2, base_url: '{origin}', {provider}}}"


@scene("token-endpoint-unreachable")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    origin = f"http://127.0.0.1:{free_port()}"
    problem = await asked(folder, portal(origin), "GET /portal/da/v3/async/jobs")
    return replaced(problem, (origin, PORTAL))


@scene("token-endpoint-timeout")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    said = f"within {exchange.TIMEOUT:.0f} s"
    patch.setattr(exchange, "TIMEOUT", 0.2)
    async with hanging() as origin:
        problem = await asked(folder, portal(origin), "GET /portal/da/v3/async/jobs")
    return replaced(problem, (origin, PORTAL), ("within 0 s", said))


@scene("token-pending")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    defaults = build_source.__kwdefaults__
    assert defaults is not None
    patch.setitem(defaults, "patience", 0.1)
    async with hanging() as origin:
        problem = await asked(folder, portal(origin), "GET /portal/da/v3/async/jobs")
    return replaced(problem, ("within 0 s", f"within {PATIENCE:.0f} s"))


@scene("upstream-unreachable")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return await asked(folder, jquants(f"http://127.0.0.1:{free_port()}"), MASTER)


@scene("upstream-timeout")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    async with hanging() as origin:
        return await asked(folder, jquants(origin, "timeouts: {read: 100ms}"), MASTER)


@scene("store-failed")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A token file that others can read."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    (state / "misskey.token").write_bytes(b"")
    (state / "misskey.token").chmod(0o644)
    beginning = f"listen: {{port: 0}}\nstore: {{path: '{state}'}}\n"
    upstream = "misskey: {preset: misskey, base_url: 'https://misskey.example'}"
    line, length = "POST /misskey/api/i", "Content-Length: 0"
    problem = await asked(folder, upstream, line, length, beginning=beginning)
    return replaced(problem, (str(state), "/home/me/.local/state/sidekey"))


@scene("internal-error")
async def _(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    def fail(*_: object) -> None:
        raise RuntimeError("a mistake that was made for this test")

    patch.setattr(Forwarding, "forward", fail)
    return await asked(folder, jquants(), MASTER)
