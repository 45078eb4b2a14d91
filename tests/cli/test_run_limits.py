"""`sidekey run` where something is missing that it needs."""

from __future__ import annotations

from pathlib import Path

from command_line import Home

CONFIG = """
upstreams:
  r: {base_url: "http://127.0.0.1:1", provider: {type: api_key, keys: "${KEY}"}}
"""


async def test_the_lenient_parser_is_refused_at_the_start(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.configure(CONFIG)
    ended = await home.run("run", "--port", "0", KEY="canary-key", AIOHTTP_NO_EXTENSIONS="1")
    assert ended.code == 1
    assert "compiled HTTP parser" in ended.err
    assert "Traceback" not in ended.err
