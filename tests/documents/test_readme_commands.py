"""Every command in the README is run by a test: here, or where the map says."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import yaml
from command_line import ROOT, Home, free_port
from document_blocks import blocks_of

from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

README = ROOT / "README.md"
TEXT = README.read_text()
PROGRAMS = r"(?:(?:sidekey|curl|python3?|pip|docker|apt) |--)"
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -q"
PORTAL = """\
  portal:
    preset: fujitsu-portal-oauth2
    base_url: {portal}
    provider: {{client_id: demo-client, client_secret: "${{CLIENT_SECRET}}"}}
"""

# Commands that other tests run: the file, and the words in it that show it.
ELSEWHERE = {
    f"{SET_UP} . && .venv/bin/sidekey demo": (".ci/run", 'readme_command "sidekey demo"'),
    f"{SET_UP} -e '.[dev]' && .venv/bin/python -m pytest -q": (".ci/run", "readme_command pytest"),
    "apt install python3-venv": (".ci/run", "python3-venv"),
    "docker build -t sidekey .": (".ci/image", "buildah build"),
    "docker compose up": (".ci/compose", "compose up"),
    "python -m pytest tests/hostile tests/faults": (".ci/run", "tests/hostile tests/faults"),
    "--port 0": ("tests/cli/test_cli_run.py", '"run", "--port", "0"'),
    "--unix-socket PATH": ("tests/cli/test_cli_run.py", '"--unix-socket", str(path)'),
    "curl --unix-socket PATH http://localhost/NAME/": (
        "tests/cli/test_cli_run.py",
        "curl -s --unix-socket",
    ),
    "--workers N": ("tests/cli/test_cli_workers.py", '"--workers"'),
    "--no-fast-lane": ("tests/cli/test_cli_run.py", '"--no-fast-lane"'),
    "--config": ("tests/cli/test_cli_tokens.py", '"--config", str(other)'),
    "--config ./sidekey.yaml": ("tests/config/test_config_trust.py", "--config"),
    "--online": ("tests/cli/test_cli_check.py", '"check", "--online"'),
    "--effective": ("tests/cli/test_cli_check.py", '"check", "--effective"'),
    "sidekey demo [--once]": ("tests/cli/test_cli_demo.py", '"demo", "--once"'),
    "sidekey init": ("tests/cli/test_cli_init.py", "init"),
    "sidekey exec [NAME...] -- CMD": ("tests/cli/test_cli_exec.py", "exec"),
    "sidekey env [--shell ...]": ("tests/cli/test_cli_env.py", "env"),
    "sidekey explain METHOD URL": ("tests/cli/test_cli_explain.py", "explain"),
    "sidekey trace NAME": ("tests/cli/test_cli_trace.py", "trace"),
}
# Commands that are run here, at an upstream `portal`: what is said then.
HERE = {
    "sidekey check [--online]": ("check --online", r"portal: ok, has a token until "),
    "sidekey refresh NAME": ("refresh portal", r"portal: has a new token until "),
    "sidekey status [--json]": ("status --json", r'"upstream": "portal"'),
    "sidekey token NAME": ("token portal", r"^[\w.-]+\n$"),
    "sidekey presets [NAME]": ("presets misskey", r"^description: "),
    "sidekey schema [--markdown]": ("schema --markdown", r"^# Configuration\n"),
    "sidekey health": ("health", r"^ok\n$"),
}
SIGN_IN = ("sidekey login NAME", "sidekey logout NAME", "sidekey login misskey")


def inline_commands() -> list[str]:
    """Commands in the text and in tables."""
    text = re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"`({PROGRAMS}[^`]*)`", text)


def pasted_commands() -> list[str]:
    return [line for block in blocks_of(README, language="sh") for line in block.commands]


def session_lines() -> list[str]:
    """The lines of "Use it", which belong together."""
    block = next(b for b in blocks_of(README, language="sh") if "sidekey check" in b.text)
    return block.commands


@dataclass
class Session:
    """A home with the README's own configuration, whose upstreams are sandboxes."""

    home: Home
    misskey: MisskeySandbox
    port: int

    def line(self, line: str) -> str:
        return line.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")

    async def login(self, *arguments: str) -> None:
        async with self.home.started("login", "misskey", *arguments) as command:
            page = await command.err.shows(r"http://\S+/miauth/([\w-]+)")
            self.misskey.approve_miauth(page[1])
            ended = await command.ended()
        assert ended.code == 0, ended.err


@pytest.fixture
async def session(home: Home) -> AsyncIterator[Session]:
    [block] = [b for b in blocks_of(README, language="yaml") if "upstreams" in b.text]
    misskey = MisskeySandbox()
    async with (
        serve(JQuantsV2().application()) as jquants,
        serve(misskey.application()) as misskey_origin,
        serve(Portal().application()) as portal,
    ):
        written = yaml.safe_load(block.text)
        written["upstreams"]["jquants"]["base_url"] = f"{jquants}/v2"
        written["upstreams"]["misskey"] |= {"base_url": misskey_origin, "port": free_port()}
        home.configure(yaml.safe_dump(written) + PORTAL.format(portal=portal))
        port = free_port()
        home.environ |= {
            "SIDEKEY_PORT": str(port),
            "JQUANTS_API_KEY": "demo-api-key",
            "CLIENT_SECRET": "demo-client-secret",
            "BROWSER": "true",  # the program of that name, which opens nothing
        }
        yield Session(home, misskey, port)


def test_every_command_is_run_here_or_in_a_place_that_is_named() -> None:
    here = {*HERE, *SIGN_IN, *session_lines()}
    commands = {*inline_commands(), *pasted_commands()}
    assert commands - here - ELSEWHERE.keys() == set(), "run them, or say where"
    assert ELSEWHERE.keys() - commands == set(), "the README has these no more"
    assert {*HERE, *SIGN_IN} - commands == set(), "the README has these no more"


@pytest.mark.parametrize("command", ELSEWHERE)
def test_the_place_that_is_named_runs_the_command(command: str) -> None:
    name, words = ELSEWHERE[command]
    path = ROOT / name
    assert path.is_file(), f"{name} is to run: {command}"
    assert words in path.read_text(), f"{name} does not run: {command}"


async def test_the_lines_of_use_it_work_in_the_order_in_which_they_stand(session: Session) -> None:
    home = session.home
    export, check, login, run, master, note = session_lines()
    assert export.startswith('export PATH="$PWD/.venv/bin:$PATH" ')
    assert (check, login, run) == ("sidekey check", "sidekey login misskey", "sidekey run")
    checked = await home.run("check")
    assert (checked.code, "3 upstreams" in checked.out) == (0, True), checked.err
    await session.login()
    async with home.started("run") as proxy:
        await proxy.address()
        data = await home.shell(session.line(master) + " -sS")
        created = await home.shell(session.line(note) + " -sS")
    assert json.loads(data.out)["data"][0]["Code"] == "86970"
    assert json.loads(created.out)["createdNote"]["text"] == "hello"


async def test_the_commands_of_the_table_do_what_it_says(session: Session) -> None:
    home = session.home
    await session.login("--no-browser")
    async with home.started("run") as proxy:
        await proxy.address()
        for command, (arguments, says) in HERE.items():
            ended = await home.run(*arguments.split())
            assert ended.code == 0, f"{command}: {ended.said}"
            assert re.search(says, ended.said), f"{command}: {ended.said}"
    bare = [(command.split()[1],) for command in HERE if "[" in command]
    assert [ended.code for ended in await home.run_all(*bare)] == [0] * len(bare)
    out, after = await home.run("logout", "misskey"), await home.run("status")
    assert (out.code, after.code) == (0, 4), after.said
