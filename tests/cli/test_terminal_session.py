"""A person's first minutes at two terminals, recorded: what is typed, and what is shown."""

from __future__ import annotations

import asyncio
import io
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pexpect
from command_line import PATIENCE, Home, free_port

from proxy import __version__
from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

PROMPT = "❯ "
KEY = "demo-api-key"
BOT = """\
import json, os, sys, urllib.request
request = urllib.request.Request(os.environ["MISSKEY_BASE_URL"] + "/api/i", b"{}")
request.add_header("Content-Type", "application/json")
print("I am", json.load(urllib.request.urlopen(request))["username"])
sys.exit(3)
"""
JSON = "-H 'Content-Type: application/json'"

FIRST = """\
❯ sidekey init
This writes ~/work/sidekey.yaml; until the last answer, nothing. Ctrl-C gives up.

Which API? Search with a few letters (`all`: every preset, `none`: no preset).
API: miskey
  nothing matches (did you mean 'misskey'?); `all` lists all
API: misskey mia
   1  misskey      Misskey with MiAuth: `sidekey login NAME` opens the server's
                   own page, where you approve
   2  misskey-app  Misskey with a registered app (the way before MiAuth):
                   `sidekey login NAME` opens the server's own page, where you
                   approve
API: 1

name (the first part of its local path) [misskey]:
base_url (your server, such as https://misskey.example): https://misskey.example

Another API? Search as before; Enter ends.
API: api-key

name (the first part of its local path) [my-api]: market
base_url (where its paths begin, such as https://api.example.com/v1): https://market.example/v2

Where are secrets to be kept?
  1  files         a private file each, in ~/config/sidekey/secrets
  2  environment   variables that you set before sidekey runs
number or name [files]: files
keys (the key) (not shown):

Where does the token go?
  1  header        a field of the request's head
  2  query         a parameter of the URL
number or name [header]:
name of the header [Authorization]: x-api-key
what it holds [{token}]:

Another API? Search as before; Enter ends.
API:

Wrote ~/work/sidekey.yaml. Next:

  sidekey check
  sidekey login misskey
  sidekey run
  curl -i -H 'Content-Type: application/json' -d '{}' http://127.0.0.1:8080/misskey/api/i
❯ sidekey check
~/work/sidekey.yaml: ok, 2 upstreams
❯ sidekey run
sidekey VERSION, ~/work/sidekey.yaml
  http://127.0.0.1:8080/misskey/ -> https://misskey.example     first: sidekey login misskey
  http://127.0.0.1:8080/market/  -> https://market.example/v2  has a key
try:  curl -i -H 'Content-Type: application/json' -d '{}' http://127.0.0.1:8080/misskey/api/i
try:  curl -i http://127.0.0.1:8080/market/
dashboard:  http://127.0.0.1:8080/_sidekey/
stop with Ctrl-C
TIME [info     ] request.forwarded              method=GET path=/market/equities/master request_id=ID seconds=S status=200 upstream=market upstream_seconds=S
TIME [warning  ] token.failed                   detail='nobody has signed in yet' fix='sidekey login misskey' retry_in=0.0 slug=login-required upstream=misskey
TIME [warning  ] request.refused                detail='nobody has signed in yet' fix='sidekey login misskey' method=POST path=/misskey/api/i request_id=ID seconds=S slug=login-required status=503 upstream=misskey
TIME [info     ] token.loaded                   generation=1 upstream=misskey
^CTIME [info     ] stopped
❯ echo $?
0
❯
"""  # noqa: E501
SECOND = """\
❯ curl -s 'http://127.0.0.1:8080/market/equities/master?code=86970' | grep -o '"86970"'
"86970"
❯ curl -s -H 'Content-Type: application/json' -d '{}' http://127.0.0.1:8080/misskey/api/i | grep -o '"fix":[^,]*'
"fix": "sidekey login misskey"
❯ sidekey status
upstream  state
misskey   login-required
market    ready

misskey: nobody has signed in yet (sidekey login misskey)
❯ echo $?
4
❯ sidekey login misskey --no-browser
Open this page and approve the request:

  https://misskey.example/miauth/SESSION?name=sidekey&callback=http%3A%2F%2F127.0.0.1%3APORT%2Fsidekey%2Fcallback&permission=...

waiting 5:00
misskey: signed in as @bob; a running proxy uses the token from now on
❯ sidekey status
upstream  state  generation  user
misskey   ready  1           @bob
market    ready  -           -
❯ cat bot.py
import json, os, sys, urllib.request
request = urllib.request.Request(os.environ["MISSKEY_BASE_URL"] + "/api/i", b"{}")
request.add_header("Content-Type", "application/json")
print("I am", json.load(urllib.request.urlopen(request))["username"])
sys.exit(3)
❯ sidekey exec misskey -- python3 bot.py
I am bob
❯ echo $?
3
❯ sidekey exec -- sh -c 'echo started; sleep 60'
started
^C❯ echo $?
130
❯
"""  # noqa: E501


class Terminal:
    """A shell at a terminal, and all that it showed."""

    def __init__(self, home: Home) -> None:
        self._shown = io.StringIO()
        self._shell = pexpect.spawn(
            "bash",
            ["--norc", "--noprofile"],
            cwd=str(home.work),
            env=home.environ,
            encoding="utf-8",
            timeout=PATIENCE,
            dimensions=(50, 120),
        )
        self._shell.logfile_read = self._shown
        self._shell.expect_exact(PROMPT)

    @property
    def text(self) -> str:
        return self._shown.getvalue()

    def type(self, line: str, until: str = PROMPT) -> None:
        """Type a line, and wait for what the terminal shows last."""
        self._shell.sendline(line)
        self._shell.expect_exact(until)

    def press_ctrl_c(self) -> None:
        self._shell.sendintr()
        self._shell.expect_exact(PROMPT)

    def shows(self, pattern: str) -> re.Match[str]:
        self._shell.expect(pattern)
        return self._shell.match

    def close(self) -> None:
        self._shell.close(force=True)


@dataclass
class Session:
    """Two terminals of one home, and the servers that they lead to."""

    home: Home
    misskey: MisskeySandbox
    misskey_origin: str
    market_origin: str
    port: int = field(default_factory=free_port)

    def prepare(self) -> None:
        """Put `sidekey` where a shell finds it, and a program that knows no secret."""
        (self.home.work / "bot.py").write_text(BOT)
        program = self.home.folder / "bin" / "sidekey"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m proxy "$@"\n')
        program.chmod(0o755)
        self.home.environ |= {
            "PATH": f"{program.parent}:{self.home.environ['PATH']}",
            "PS1": PROMPT,
            "TERM": "dumb",  # no colours, no moves of the cursor
            "NO_COLOR": "1",
            "SIDEKEY_PORT": str(self.port),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }

    @contextmanager
    def terminal(self) -> Iterator[Terminal]:
        terminal = Terminal(self.home)
        try:
            yield terminal
        finally:
            terminal.close()

    def recorded(self, terminal: Terminal) -> str:
        """Return what was shown, with names in place of what differs each time."""
        text = terminal.text.replace("\r\n", "\n")
        for changing, name in (
            (re.escape(self.misskey_origin), "https://misskey.example"),
            (re.escape(self.market_origin), "https://market.example"),
            (rf"127\.0\.0\.1:{self.port}", "127.0.0.1:8080"),
            (r"127\.0\.0\.1%3A\d+", "127.0.0.1%3APORT"),
            (re.escape(str(self.home.folder)), "~"),
            (re.escape(__version__), "VERSION"),
            (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "SESSION"),
            (r"(\rwaiting \d:\d\d )+", "waiting 5:00 "),
            (r"permission=[^&\s]+", "permission=..."),
            (r"\d\d:\d\d:\d\d", "TIME"),
            (r"request_id=\w+", "request_id=ID"),
            (r"seconds=[\d.]+", "seconds=S"),
        ):
            text = re.sub(changing, name, text)
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())

    def play(self) -> tuple[str, str]:
        """Return what the two terminals showed."""
        with self.terminal() as first, self.terminal() as second:
            self._init(first)
            first.type("sidekey check")
            first.type("sidekey run", "stop with Ctrl-C")
            self._requests(second)
            self._login(second)
            first.shows("token.loaded.*\n")
            self._exec(second)
            first.press_ctrl_c()
            first.type("echo $?")
            return self.recorded(first), self.recorded(second)

    def _init(self, shell: Terminal) -> None:
        shell.type("sidekey init", "API: ")
        shell.type("miskey", "API: ")
        shell.type("misskey mia", "API: ")
        shell.type("1", "]: ")
        shell.type("", "): ")
        shell.type(self.misskey_origin, "API: ")
        shell.type("api-key", "]: ")
        shell.type("market", "): ")
        shell.type(f"{self.market_origin}/v2", "]: ")
        shell.type("files", "(not shown): ")
        shell.type(KEY, "]: ")
        shell.type("", "]: ")
        shell.type("x-api-key", "]: ")
        shell.type("", "API: ")
        shell.type("")

    def _requests(self, shell: Terminal) -> None:
        address = f"http://127.0.0.1:{self.port}"
        shell.type(f"curl -s '{address}/market/equities/master?code=86970' | grep -o '\"86970\"'")
        shell.type(f"curl -s {JSON} -d '{{}}' {address}/misskey/api/i | grep -o '\"fix\":[^,]*'")
        shell.type("sidekey status")
        shell.type("echo $?")

    def _login(self, shell: Terminal) -> None:
        shell.type("sidekey login misskey --no-browser", "/miauth/")
        session = shell.shows(r"([0-9a-f-]+)\?")[1]
        shell.shows("waiting")
        self.misskey.approve_miauth(session)
        shell.shows(PROMPT)

    def _exec(self, shell: Terminal) -> None:
        shell.type("sidekey status")
        shell.type("cat bot.py")
        shell.type("sidekey exec misskey -- python3 bot.py")
        shell.type("echo $?")
        shell.type("sidekey exec -- sh -c 'echo started; sleep 60'", "started\r\n")
        shell.press_ctrl_c()
        shell.type("echo $?")


async def test_the_first_minutes_at_two_terminals(home: Home) -> None:
    misskey = MisskeySandbox()
    async with (
        serve(misskey.application()) as misskey_origin,
        serve(JQuantsV2().application()) as market_origin,
    ):
        session = Session(home, misskey, misskey_origin, market_origin)
        session.prepare()
        first, second = await asyncio.to_thread(session.play)
    assert first == FIRST
    assert second == SECOND
    assert KEY not in first + second
