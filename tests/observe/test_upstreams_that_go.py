"""Upstreams that are gone, or others, by the time that somebody is told of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from command_line import until
from gateway_samples import keyed
from pages_client import do, told
from proxying import Sidekey, sidekey
from raw_client import ask
from raw_upstream import answering
from token_server import token_server

from proxy.config import load
from proxy.credentials.source import Source
from proxy.observe.last_requests import LastRequests
from proxy.observe.overview import Overview
from proxy.observe.trail import Trail

PATIENCE = 30.0  # seconds until what does not come counts as missing


def without(proxy: Sidekey, folder: Path, origin: str) -> None:
    """Serve another upstream in place of all that there are."""
    path = folder / "other.yaml"
    head = "listen: {port: 0}\nstore: {type: memory}\nupstreams:\n"
    path.write_text(head + "".join(f"  {line}\n" for line in keyed(origin).splitlines()))
    path.chmod(0o600)
    proxy.running.change(load(path, environ={}).settings)


async def test_an_upstream_that_goes_while_somebody_looks_ends_no_look(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        sources: dict[str, Source] = dict(proxy.running.sources)
        settings = load(tmp_path / "sidekey.yaml", environ={}).settings
        looking = asyncio.ensure_future(
            Overview(sources, lambda: settings, str, LastRequests(Trail()), str).upstreams()
        )
        await asyncio.sleep(0)
        sources.clear()
        assert [card["upstream"] for card in await looking] == ["r"]


async def test_an_upstream_that_goes_during_its_renewal_is_said_to_be_gone(tmp_path: Path) -> None:
    async with (
        token_server() as server,
        sidekey(tmp_path, server.upstreams("a")) as proxy,
        asyncio.timeout(PATIENCE),
    ):
        token = (await told(proxy, "overview"))["token"]
        server.faults.append(0.5)
        renewing = asyncio.create_task(do(proxy, "upstreams/a/renew", token=token))
        await until(lambda: server.asked > 0)
        without(proxy, tmp_path, server.origin)
        answer = await renewing
    assert (answer.status, answer.field("Sidekey-Error")) == (404, ["unknown-upstream"])


async def test_json_that_is_nested_too_deeply_is_no_object(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        shown = f"Sidekey-Token: {(await told(proxy, 'overview'))['token']}"
        answer = await ask(proxy, "POST /_sidekey/api/recording", shown, content=b"[" * 60_000)
    assert (answer.status, answer.field("Sidekey-Error")) == (400, ["bad-message"])
