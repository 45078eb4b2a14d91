"""`sidekey exec`: a command with a proxy of its own, and none of the secrets."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from command_line import Home, free_port

from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.serving import serve

CONFIG = """\
clients: {{keys: "${{AGENT_KEY}}"}}
listen: {{port: {port}}}
upstreams:
  jquants:
    preset: jquants-v2
    base_url: {origin}/v2
    provider: {{keys: "${{JQUANTS_API_KEY}}"}}
  my-api:
    base_url: {origin}
    port: {own_port}
    provider: {{type: api_key, keys: "${{OTHER_SECRET}}"}}
  misskey: {{preset: misskey, base_url: "{origin}"}}
"""
SECRETS = {"JQUANTS_API_KEY": "demo-api-key", "OTHER_SECRET": "canary-of-the-other-api"}
PHANTOM = "a-phantom-key-that-is-made-up"
MASTER = "equities/master?code=86970"


@pytest.fixture
async def sandbox(home: Home) -> AsyncIterator[JQuantsV2]:
    sandbox = JQuantsV2()
    async with serve(sandbox.application()) as origin:
        home.configure(CONFIG.format(origin=origin, port=free_port(), own_port=free_port()))
        home.environ |= SECRETS | {"AGENT_KEY": PHANTOM}
        yield sandbox


async def test_a_command_reaches_the_api_with_a_phantom_key_and_without_the_secret(
    home: Home, sandbox: JQuantsV2
) -> None:
    line = f'curl -s -H "x-api-key: $JQUANTS_API_KEY" "$JQUANTS_BASE_URL/{MASTER}"'
    ended = await home.run("exec", "jquants", "--", "sh", "-c", line)
    assert json.loads(ended.out)["data"][0]["Code"] == "86970"
    assert (ended.code, ended.err) == (0, "")
    assert sandbox.requests[0].header("x-api-key") == [SECRETS["JQUANTS_API_KEY"]]


async def test_no_secret_is_in_the_environment_of_the_command_or_its_children(
    home: Home, sandbox: JQuantsV2
) -> None:
    line = 'env; tr "\\0" "\\n" </proc/$$/environ; sh -c "cat /proc/\\$\\$/environ"'
    ended = await home.run("exec", "--", "sh", "-c", line)
    assert not [secret for secret in SECRETS.values() if secret in ended.said]
    assert not [name for name in ("OTHER_SECRET", "AGENT_KEY") if name in ended.said]
    variables = dict(entry.split("=", 1) for entry in ended.out.splitlines() if "=" in entry)
    assert variables["JQUANTS_API_KEY"] == variables["MY_API_API_KEY"] == PHANTOM
    assert variables["HOME"] == str(home.folder)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
async def test_the_command_cannot_read_the_environment_that_sidekey_was_started_with(
    home: Home, sandbox: JQuantsV2
) -> None:
    """As root, who may read everything, the right to do so is laid down first."""
    ended = await home.run("exec", "--", *PLAIN, "sh", "-c", "cat /proc/$PPID/environ")
    assert ended.out == ""
    assert "denied" in ended.err


PLAIN = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


async def test_only_the_named_upstreams_are_served(home: Home, sandbox: JQuantsV2) -> None:
    line = 'env | grep -c _BASE_URL; curl -s -o /dev/null -w "%{http_code}\\n" '
    line += '-H "Authorization: Bearer $JQUANTS_API_KEY" "${JQUANTS_BASE_URL%jquants}misskey/api/i"'
    named, all_of_them = await home.run_all(
        ("exec", "jquants", "--", "sh", "-c", line), ("exec", "--", "sh", "-c", line)
    )
    assert named.out == "1\n401\n"  # there is no such upstream at which the key would count
    assert all_of_them.out == "3\n503\n"  # a login is needed first


async def test_an_upstream_with_a_port_of_its_own_has_no_prefix_here_either(
    home: Home, sandbox: JQuantsV2
) -> None:
    line = f'echo $MY_API_BASE_URL; curl -s -H "Authorization: Bearer {PHANTOM}" '
    ended = await home.run("exec", "my-api", "--", "sh", "-c", f"{line} $MY_API_BASE_URL/v2/x")
    assert ended.out.splitlines()[0].count("/") == 2
    assert sandbox.requests[0].target == "/v2/x"


async def test_it_takes_no_port_of_a_proxy_that_runs(home: Home, sandbox: JQuantsV2) -> None:
    async with home.started("run") as proxy:
        await proxy.address()
        ended = await home.run("exec", "--", "true")
    assert ended.code == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)],
)
async def test_the_exit_code_is_that_of_the_command(
    home: Home, sandbox: JQuantsV2, line: str, code: int
) -> None:
    assert (await home.run("exec", "jquants", "--", "sh", "-c", line)).code == code


async def test_options_behind_the_dashes_are_the_commands_own(
    home: Home, sandbox: JQuantsV2
) -> None:
    ended = await home.run("exec", "jquants", "--", "echo", "--config", "x", "--", "--help")
    assert (ended.code, ended.out) == (0, "--config x -- --help\n")


async def test_a_login_that_is_needed_is_told_and_the_command_runs_all_the_same(
    home: Home, sandbox: JQuantsV2
) -> None:
    ended = await home.run("exec", "--", "echo", "ran")
    assert (ended.code, ended.out) == (0, "ran\n")
    fix = "sidekey: misskey: nobody has signed in yet; first: sidekey login misskey\n"
    assert ended.err == fix


async def test_a_field_that_clients_have_to_send_is_told_without_its_value(
    home: Home, sandbox: JQuantsV2
) -> None:
    text = (home.work / "sidekey.yaml").read_text()
    home.configure(
        text.replace('{keys: "${AGENT_KEY}"}', '{header: {name: X-Who, value: "${AGENT_KEY}"}}')
    )
    ended = await home.run("exec", "jquants", "--", "env")
    assert "clients.header: the command has to send X-Who\n" in ended.err
    assert PHANTOM not in ended.said
    assert "JQUANTS_API_KEY" not in ended.out


async def test_sigterm_is_passed_on_and_ctrl_c_is_the_commands(
    home: Home, sandbox: JQuantsV2
) -> None:
    line = "trap 'echo told; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    async with home.started("exec", "jquants", "--", "sh", "-c", line) as command:
        await command.out.shows("ready")
        command.process.send_signal(signal.SIGINT)  # as a terminal would, which the command ignores
        ended = await command.stopped(signal.SIGTERM)
    assert (ended.code, ended.out) == (7, "ready\ntold\n")
    assert "Traceback" not in ended.err


async def test_the_command_reads_what_is_piped_in(home: Home, sandbox: JQuantsV2) -> None:
    line = f"echo piped | {sys.executable} -m proxy exec jquants -- cat"
    assert (await home.shell(line)).out == "piped\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--", "no-such-command-anywhere"), 127, "no-such-command-anywhere: no such command"),
        (("--", "/etc/passwd"), 126, "/etc/passwd: Permission denied"),
        (("jquants",), 2, "exec [NAME...] -- CMD"),
        (("--",), 2, "exec [NAME...] -- CMD"),
        (("jquans", "--", "true"), 2, "no upstream is named jquans (did you mean 'jquants'?)"),
    ],
)
async def test_what_cannot_be_run_is_said(
    home: Home, sandbox: JQuantsV2, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ended = await home.run("exec", *arguments)
    assert ended.code == code
    assert said in ended.err
    assert "Traceback" not in ended.err


async def test_warnings_of_the_proxy_go_to_stderr_and_nothing_else_does(
    home: Home, sandbox: JQuantsV2
) -> None:
    """An answer of sidekey's own is a warning; one of the API's is none."""
    line = f'curl -s -o /dev/null "$JQUANTS_BASE_URL/{MASTER}"'
    ended = await home.run("exec", "jquants", "--", "sh", "-c", line)
    assert '"event": "request.refused"' in ended.err
    assert "listening" not in ended.err
    assert ended.out == ""
