"""K03: what Python itself tells of a running proxy, when it is made to tell all, is no secret."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Iterator

import pytest
from canaries import canary, holds_canary
from command_line import ROOT, Home
from issuing import Issuer
from raw_client import message, raw_client
from raw_upstream import Conversation, RawRequest, answering, conversing

CONFIG = """\
listen: {{port: 0}}
store: {{type: memory}}
clients: {{keys: "${{CLIENT_KEY}}"}}
upstreams:
  key: {{base_url: "{api}", provider: {{type: api_key, keys: "${{KEY}}"}}}}
  down: {{base_url: "http://127.0.0.1:9", provider: {{type: api_key, keys: "${{KEY}}"}}}}
  token: {{base_url: "{api}", provider: &tokens {{type: oauth2_client_credentials,
    token_url: "{api}/oauth/token", client_id: me, client_secret: "${{CLIENT_SECRET}}"}}}}
  silent: {{base_url: "{silent}", provider: *tokens}}
"""
TALKATIVE = {
    "PYTHONFAULTHANDLER": "1",
    "PYTHONASYNCIODEBUG": "1",
    "SIDEKEY_LOG_LEVEL": "debug",
}
# asyncio describes each callback that took longer than this, its arguments included.
ALL_ARE_SLOW = """
from asyncio import BaseEventLoop
BaseEventLoop.slow_callback_duration = property(lambda loop: 0.0, lambda loop, seconds: None)
"""


@pytest.fixture
def cores_allowed() -> Iterator[None]:
    """Let what this process starts leave cores, unless it forbids that to itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.mark.case("K03")
async def test_a_proxy_that_aborts_under_way_tells_and_leaves_no_secret(
    home: Home, cores_allowed: None
) -> None:
    arrived: asyncio.Queue[RawRequest] = asyncio.Queue()

    async def hang(peer: Conversation) -> None:
        await arrived.put(await peer.request())
        await peer.reader.read()

    secrets = {name: canary(name.lower()) for name in ("CLIENT_KEY", "CLIENT_SECRET", "KEY")}
    shown = f"Authorization: Bearer {secrets['CLIENT_KEY']}"
    site = home.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(ALL_ARE_SLOW)
    async with answering(Issuer()) as api, conversing(hang) as silent:
        config = home.configure(CONFIG.format(api=api.origin, silent=silent.origin))
        path = f"{site}:{ROOT}"
        async with home.serving(PYTHONPATH=path, **TALKATIVE, **secrets) as proxy:
            address = await proxy.address()
            for rest in ("key/a", "token/a", "down/a", "nowhere/a", "_sidekey/status"):
                await home.shell(f"curl -s -H '{shown}' -d '{shown}' {address}/{rest}")
            host = address.removeprefix("http://")
            async with raw_client(int(host.rpartition(":")[2])) as client:
                await client.send(message("GET /silent/a", shown, host=host))
                async with asyncio.timeout(30):
                    under_way = await arrived.get()
                ended = await proxy.stopped(signal.SIGABRT)
    assert ended.code == -signal.SIGABRT
    assert under_way.field("Authorization") == ["Bearer canary-token-2"]
    assert "Fatal Python error: Aborted" in ended.err
    assert "Executing <" in ended.err
    assert not holds_canary(ended.said)
    assert [*home.work.iterdir()] == [config], "it left a core"
