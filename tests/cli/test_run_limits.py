"""`sidekey run` where the machine runs out of something, or lacks it."""

from __future__ import annotations

import resource
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
from command_line import Home, Started
from raw_client import raw_client

CONFIG = """
upstreams:
  r: {base_url: "http://127.0.0.1:1", provider: {type: api_key, keys: "${KEY}"}}
"""
COMPLAINT = "out of system resource"


def descriptors_left(proxy: Started, count: int) -> None:
    """Let the process open `count` files more and no others."""
    taken = len(list(Path(f"/proc/{proxy.process.pid}/fd").iterdir()))
    _, hard = resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (taken + count, hard))


async def test_a_proxy_without_file_descriptors_waits_and_serves_again(tmp_path: Path) -> None:
    """asyncio looks again once a second, and says so each time; it does not run hot."""
    home = Home(tmp_path)
    home.configure(CONFIG)
    async with home.serving(KEY="canary-key") as proxy, httpx.AsyncClient() as client:
        address = await proxy.address()
        descriptors_left(proxy, 5)
        async with AsyncExitStack() as stack:
            for _ in range(40):
                await stack.enter_async_context(raw_client(int(address.rpartition(":")[2])))
            await proxy.err.shows(f"(?s){COMPLAINT}.*{COMPLAINT}.*{COMPLAINT}")
            assert proxy.err.text.count(COMPLAINT) < 10
        answer = await client.get(f"{address}/_sidekey/healthz")
        assert answer.status_code == 200


async def test_the_lenient_parser_is_refused_at_the_start(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.configure(CONFIG)
    ended = await home.run("run", "--port", "0", KEY="canary-key", AIOHTTP_NO_EXTENSIONS="1")
    assert ended.code == 1
    assert "compiled HTTP parser" in ended.err
    assert "Traceback" not in ended.err
