"""`sidekey run` and what the system has or grants it: the parser, open files."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
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


@pytest.mark.skipif(sys.platform != "linux", reason="this is about /proc")
async def test_as_many_files_may_be_open_as_the_system_grants(home: Home) -> None:
    home.configure(CONFIG)
    async with home.serving(KEY="canary-key") as proxy:
        found = re.search(r"^Max open files +(\S+) +(\S+) ", proxy.limits, re.MULTILINE)
    assert found is not None
    assert found[1] == found[2]
