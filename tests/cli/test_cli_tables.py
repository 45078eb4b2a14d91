"""Tables on terminals that are narrower than they are, and everywhere else."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TextIO

import pexpect
import pytest
from command_line import PATIENCE, Home, free_port

from proxy.cli.moments import from_now
from proxy.cli.status_text import status_text
from proxy.cli.table import columns_of, table
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

HEADS = ("name", "state", "seen at")
ROWS = [("a", "ready", "2026-01-01"), ("longer", "-", "yesterday or so")]
ALIGNED = """\
name    state  seen at
a       ready  2026-01-01
longer  -      yesterday or so"""
FOLDED = """\
name    state  seen at
a       ready  2026-01-01
longer  -      yesterday
               or so"""
BLOCKS = """\
a
    state    ready
    seen at  2026-01-01
longer
    seen at  yesterday
             or so"""
CONFIG = """\
listen: {{port: {port}}}
upstreams:
  portal:
    preset: fujitsu-portal-oauth2
    base_url: {origin}
    provider: {{client_id: demo-client, client_secret: "${{CLIENT_SECRET}}"}}
  misskey: {{preset: misskey, base_url: "{origin}"}}
"""
TWO = """\
listen: {{port: {port}}}
upstreams:
  orders: &portal
    preset: fujitsu-portal-oauth2
    base_url: {origin}
    provider: {{client_id: demo-client, client_secret: "${{CLIENT_SECRET}}"}}
  billing: *portal
"""
BLOCKED = {
    "upstream": "billing",
    "state": "blocked",
    "next_renewal": "2999-01-01T00:00:00+00:00",
    "attempts_left": 2,
    "error": "the token endpoint said no: invalid_client",
    "fix": "correct upstreams.billing.provider",
}
UNSAVED = {
    "upstream": "mem",
    "state": "ready",
    "generation": 1,
    "stored": False,
    "attempts_left": 3,
}
TIMES = re.compile(r"\d+m\b")


@contextmanager
def terminal(columns: int) -> Iterator[TextIO]:
    """Yield a stream that leads to a terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        with os.fdopen(slave, "w") as stream:
            yield stream
    finally:
        os.close(master)


async def shown(home: Home, *arguments: str, columns: int) -> str:
    """Run a command at a terminal; return what that shows, stderr included."""

    def _shown() -> str:
        command = pexpect.spawn(
            sys.executable,
            [*home.program, *arguments],
            cwd=str(home.work),
            env=home.environ,
            encoding="utf-8",
            timeout=PATIENCE,
            dimensions=(24, columns),
        )
        with command:
            command.expect(pexpect.EOF)
            return str(command.before).replace("\r\n", "\n")

    return await asyncio.to_thread(_shown)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [(120, ALIGNED), (30, ALIGNED), (26, FOLDED), (25, FOLDED), (24, BLOCKS), (0, ALIGNED)],
)
def test_a_table_fits_a_terminal_that_tells_its_width(columns: int, expected: str) -> None:
    with terminal(columns) as stream:
        assert table(ROWS, stream, HEADS) == expected


def test_no_word_is_cut_where_a_terminal_has_no_room_for_it() -> None:
    with terminal(5) as stream:
        assert columns_of(stream) == 5
        assert table([("name", "a-long-word b")], stream) == "name\n    a-long-word\n    b"


def test_without_a_terminal_a_table_is_as_wide_as_it_needs() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as stream:
        assert table(ROWS, stream, HEADS) == ALIGNED
    assert table(ROWS, None, HEADS) == ALIGNED


async def test_status_at_a_terminal_is_short_and_in_a_pipe_complete(home: Home) -> None:
    home.environ["CLIENT_SECRET"] = "demo-client-secret"
    async with serve(Portal().application()) as origin:
        home.configure(CONFIG.format(port=free_port(), origin=origin))
        assert (await home.run("token", "portal")).code == 0
        usual = await shown(home, "status", columns=80)
        narrow = await shown(home, "status", columns=40)
        piped, told = await home.run_all(("status",), ("status", "--json"))
    assert TIMES.sub("TIME", usual).splitlines()[1:] == [
        "upstream  state           generation  expires at  next renewal",
        "portal    ready           1           in TIME      in TIME",
        "misskey   login-required  -           -           -",
        "",
        "misskey: nobody has signed in yet (sidekey login misskey)",
    ]
    assert TIMES.sub("TIME", narrow).splitlines()[1:] == [
        "portal",
        "    state         ready",
        "    generation    1",
        "    expires at    in TIME",
        "    next renewal  in TIME",
        "misskey",
        "    state         login-required",
        "    error         nobody has signed in",
        "                  yet",
        "    fix           sidekey login misskey",
    ]
    portal = json.loads(told.out)["upstreams"][0]
    assert f"ready           1           {portal['expires_at']}  20" in piped.out
    assert "misskey   login-required  -           -  " in piped.out
    assert piped.out.splitlines()[0].split() == [*usual.splitlines()[1].split(), "user"]


async def test_the_status_of_two_oauth_upstreams_fits_into_80_columns(home: Home) -> None:
    home.environ["CLIENT_SECRET"] = "demo-client-secret"
    async with serve(Portal().application()) as origin:
        home.configure(TWO.format(port=free_port(), origin=origin))
        assert (await home.run("check", "--online")).code == 0
        lines = (await shown(home, "status", columns=80)).splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["upstream", "orders", "billing"]
    assert max(map(len, lines[-3:])) <= 80


@pytest.mark.parametrize("columns", [60, 50, 40])
def test_what_a_table_of_upstreams_has_no_room_for_is_folded_and_complete(columns: int) -> None:
    with terminal(columns) as stream:
        lines = status_text([BLOCKED, UNSAVED], stream).splitlines()
    assert max(map(len, lines)) <= columns
    said = " ".join(" ".join(lines).split())
    for fact in (BLOCKED["error"], BLOCKED["fix"], "in memory only, since the store failed"):
        assert fact in said


def test_notes_stand_below_a_table_and_within_the_blocks() -> None:
    with terminal(60) as wide, terminal(22) as narrow:
        table_and_notes = status_text([BLOCKED, UNSAVED], wide).splitlines()
        in_blocks = status_text([BLOCKED, UNSAVED], narrow).splitlines()
    assert [re.sub(r"\d+(?=d$)", "DAYS", line) for line in table_and_notes] == [
        "upstream  state    generation",
        "billing   blocked  -",
        "mem       ready    1",
        "",
        "billing: the token endpoint said no: invalid_client (correct",
        "         upstreams.billing.provider)",
        "billing: attempts left this hour: 2",
        "billing: next attempt: in DAYSd",
        "mem: the token lives in memory only, since the store failed",
    ]
    beginnings = [line for line in in_blocks if not line.startswith(" " * 5)]
    assert [line.split()[0] for line in beginnings] == [
        *("billing", "state", "error", "fix", "attempts", "next"),
        *("mem", "state", "generation", "stored"),
    ]


def test_in_a_pipe_notes_are_whole_lines() -> None:
    lines = status_text([BLOCKED, UNSAVED], None).splitlines()
    assert lines[1].split() == ["billing", "blocked", "-", "-", "-", "-"]
    assert lines[3:] == [
        f"billing: {BLOCKED['error']} ({BLOCKED['fix']})",
        "billing: attempts left this hour: 2",
        f"billing: next attempt: {BLOCKED['next_renewal']}",
        "mem: the token lives in memory only, since the store failed",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3599.5, "in 59m"),
        (3600, "in 1h"),
        (90_000, "in 1d"),
        (59, "in 59s"),
        (0.2, "in 0s"),
        (-0.2, "in 0s"),
        (-1, "1s ago"),
        (-7300, "2h ago"),
    ],
)
def test_a_moment_is_told_by_how_far_away_it_is(seconds: float, said: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert from_now(now + timedelta(seconds=seconds), now) == said


async def test_presets_at_a_narrow_terminal_are_folded_and_complete(home: Home) -> None:
    narrow = await shown(home, "presets", columns=80)
    piped = await home.run("presets")
    assert max(map(len, narrow.splitlines())) <= 80
    assert narrow.split() == piped.out.split()
    assert len(narrow.splitlines()) > len(piped.out.splitlines())


def test_an_upstream_whose_user_is_blank_keeps_its_line() -> None:
    rows = [
        {"upstream": "first", "state": "ready", "user": ""},
        {"upstream": "second", "state": "ready", "user": "@somebody with a long name indeed"},
    ]
    with terminal(40) as stream:
        assert "first" in status_text(rows, stream)


async def test_a_table_does_no_harm_where_stdout_is_closed(home: Home) -> None:
    ended = await home.shell(f"{sys.executable} -m proxy presets >&-")
    assert (ended.code, ended.err) == (0, "")
