"""Commands whose streams were closed before they began, as daemons and cron do it."""

from __future__ import annotations

import json
import sys

import pytest
from command_line import Home

PROGRAM = f"{sys.executable} -m proxy"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--help 2>&-", 0, "Commands:"),
        ("presets jquants-v1 2>&- <&-", 0, "jquants"),
        ("check 2>&-", 2, ""),
        ("check >&-", 2, "no configuration"),
        ("run 2>&-", 2, ""),
    ],
)
async def test_a_command_does_its_work_whatever_was_closed(
    home: Home, line: str, code: int, said: str
) -> None:
    ended = await home.shell(f"{PROGRAM} {line}")
    assert ended.code == code, ended.said
    assert said in ended.said
    assert "Traceback" not in ended.said


async def test_no_socket_and_no_file_gets_the_number_of_a_closed_stream(home: Home) -> None:
    home.configure("upstreams:\n  misskey: {preset: misskey, base_url: 'http://127.0.0.1:9'}\n")
    ended = await home.shell(f"{PROGRAM} status --json 2>&- <&-")
    assert ended.code == 4
    assert json.loads(ended.out)["upstreams"][0]["state"] == "login-required"
