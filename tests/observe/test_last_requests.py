"""A token may be good, and no use: what is told of the last request to an upstream."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from gateway_samples import KEY, keyed, tokened
from issuing import REJECTION, Issuer
from pages_client import do, told
from proxying import Sidekey, sidekey
from raw_client import ask
from raw_upstream import OK, Conversation, answering, conversing, json_response
from signing_in import HTML, Site, text

from proxy.config import load
from proxy.errors import GrantRejected
from proxy.events import ConfigReloaded, RequestAborted, RequestForwarded
from proxy.observe.last_requests import LastRequests
from proxy.observe.sharing import Board, Sharing
from proxy.observe.trail import Trail
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

REJECTED = "the upstream rejected the credential of the last request"
REFUSAL = json_response("400 Bad Request", json.dumps({"error": "invalid_client"}).encode())
READY = {"upstream": "r", "state": "ready"}
DOWN = "http://127.0.0.1:9"


async def status(proxy: Sidekey) -> Any:
    """Return what `/_sidekey/status` tells of the only upstream."""
    [row] = (await ask(proxy, "GET /_sidekey/status")).json()["upstreams"]
    return row


def mended(origin: str) -> str:
    """Return an upstream with another key."""
    return keyed(origin).replace(KEY, "canary-key-2")


def change(proxy: Sidekey, folder: Path, upstream: str) -> None:
    """Serve `upstream` in place of the one that there is, as a reload does."""
    path = folder / "changed.yaml"
    lines = "".join(f"  {line}\n" for line in upstream.splitlines())
    path.write_text(f"listen: {{port: 0}}\nstore: {{type: memory}}\nupstreams:\n{lines}")
    path.chmod(0o600)
    changes = proxy.running.change(load(path, environ={}).settings)
    proxy.running.observe(ConfigReloaded(changes.changed, changes.added, changes.removed))


async def test_a_rejected_key_is_told_until_a_request_succeeds(tmp_path: Path) -> None:
    async with (
        answering(REJECTION, OK) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        assert await status(proxy) == READY
        await ask(proxy, "GET /r/a")
        rejected = await status(proxy)
        ready = await ask(proxy, "GET /_sidekey/readyz")
        await ask(proxy, "GET /r/a")
        assert await status(proxy) == READY
    assert rejected == {
        "upstream": "r",
        "state": "ready",
        "problem": "credential-rejected",
        "error": REJECTED,
        "fix": "correct upstreams.r.provider",
    }
    assert ready.json() == {"ready": True, "upstreams": [READY]}


async def test_an_upstream_that_is_down_is_told(tmp_path: Path) -> None:
    async with sidekey(tmp_path, keyed(DOWN)) as proxy:
        await ask(proxy, "GET /r/a")
        row = await status(proxy)
    assert (row["state"], row["problem"]) == ("ready", "upstream-unreachable")
    assert row["fix"] == "see whether base_url of upstreams.r is right and the server up"


@pytest.mark.parametrize("origin", [None, DOWN], ids=["rejected", "down"])
async def test_a_request_that_never_gets_there_hides_nothing(
    tmp_path: Path, origin: str | None
) -> None:
    deny = "deny: [{methods: [DELETE]}]"
    async with (
        answering(REJECTION) as upstream,
        sidekey(tmp_path, keyed(origin or upstream.origin, more=deny)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
        before = await status(proxy)
        assert (await ask(proxy, "DELETE /r/a", "Content-Length: 0")).status == 403
        proxy.running.observe(RequestAborted("2", "r", "GET", "/r/a", "the client left", 0.0))
        assert await status(proxy) == before
        assert "error" in before


async def test_status_and_the_dashboard_tell_the_same(tmp_path: Path) -> None:
    for origin in (DOWN, None):
        async with (
            answering(REJECTION) as upstream,
            sidekey(tmp_path, keyed(origin or upstream.origin)) as proxy,
        ):
            await ask(proxy, "GET /r/a")
            [card] = (await told(proxy, "overview"))["upstreams"]
            row = await status(proxy)
        assert row.items() <= card.items()
        assert row["problem"]


async def test_the_page_of_an_upstream_without_sign_in_tells_of_a_rejected_key(
    tmp_path: Path,
) -> None:
    async with (
        answering(REJECTION) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        before = text(await ask(proxy, "GET /_sidekey/login/r", HTML))
        await ask(proxy, "GET /r/a")
        after = text(await ask(proxy, "GET /_sidekey/login/r", HTML))
    assert "It works, as far as sidekey knows." in before
    assert "It works" not in after
    assert f"It may not work: {REJECTED}. What helps: correct upstreams.r.provider" in after


async def test_the_page_of_a_sign_in_tells_of_a_server_that_went_down(tmp_path: Path) -> None:
    sandbox = MisskeySandbox()
    async with AsyncExitStack() as standing:
        origin = await standing.enter_async_context(serve(sandbox.application()))
        async with sidekey(tmp_path, f"m: {{preset: misskey, base_url: '{origin}'}}") as proxy:
            site = Site(sandbox, origin, proxy)
            begun = await site.begun()
            sandbox.approve_miauth(begun.session)
            await site.returned(begun)
            await standing.aclose()
            await ask(proxy, "POST /m/api/i", "Content-Type: application/json", content=b"{}")
            row, said = await status(proxy), text(await site.page("m"))
    assert (row["state"], row["problem"]) == ("ready", "upstream-unreachable")
    assert f"Signed in as @bob, but {row['error']}. To sign in again replaces" in said


async def test_what_failed_before_the_upstream_was_changed_is_past(tmp_path: Path) -> None:
    async with (
        answering(REJECTION) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
        change(proxy, tmp_path, keyed(upstream.origin))
        assert (await status(proxy))["error"] == REJECTED, "nothing was changed"
        change(proxy, tmp_path, mended(upstream.origin))
        assert await status(proxy) == READY
        await ask(proxy, "GET /r/a")
        assert (await status(proxy))["error"] == REJECTED


async def test_a_request_that_began_before_a_change_says_nothing_of_what_is_there_now(
    tmp_path: Path,
) -> None:
    asked, changed = asyncio.Event(), asyncio.Event()

    async def reject_late(peer: Conversation) -> None:
        await peer.request()
        asked.set()
        await changed.wait()
        await peer.send(REJECTION)

    async with (
        conversing(reject_late) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        asking = asyncio.create_task(ask(proxy, "GET /r/a"))
        await asked.wait()
        change(proxy, tmp_path, mended(upstream.origin))
        changed.set()
        assert (await asking).status == 401
        assert await status(proxy) == READY


async def test_what_was_rejected_before_the_token_at_hand_came_is_past(tmp_path: Path) -> None:
    issuer = Issuer(answer=REJECTION)
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
        assert (await status(proxy))["error"] == REJECTED
        await do(proxy, "upstreams/r/renew")
        assert "error" not in await status(proxy)
        await ask(proxy, "GET /r/a")
        assert (await status(proxy))["error"] == REJECTED


async def test_what_is_wrong_with_the_token_goes_first(tmp_path: Path) -> None:
    issuer = Issuer()
    async with (
        answering(issuer) as issuing,
        sidekey(tmp_path, tokened(DOWN, issuing.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
        before = await status(proxy)
        issuer.token_answer = REFUSAL
        with pytest.raises(GrantRejected):
            await proxy.source("r").refresh()
        after = await status(proxy)
    assert (before["state"], before["problem"]) == ("ready", "upstream-unreachable")
    assert (after["state"], after["problem"]) == ("ready", "grant-rejected")
    assert "invalid_client" in after["error"]
    assert "base_url" not in after["fix"]


async def test_a_request_that_another_worker_has_served_is_told_too(tmp_path: Path) -> None:
    board = Board(2)
    sharing = Sharing(board, 0)
    Trail(sharing).observe(
        RequestForwarded("1", "r", "GET", "/r/a", 401, 0.0, 0.0, 0.0, False, False, rejected=True)
    )
    sharing.tell()
    async with sidekey(tmp_path, keyed(DOWN)) as proxy:
        other = LastRequests(Trail(Sharing(board, 1)))
        assert (await other.status_of(proxy.source("r"))).error == REJECTED
