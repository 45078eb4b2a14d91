"""Completion: a real bash, and somebody who presses Tab."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from command_line import PATIENCE, Home

from proxy.cli.commands import COMMANDS
from proxy.config import presets

CONFIG = """\
upstreams:
  jquants: {preset: jquants-v2, provider: {keys: "${exec:touch ran}"}}
  misskey: {preset: misskey, base_url: "https://misskey.example"}
  my-api:
    base_url: https://api.example.com
    provider: {type: api_key, keys: "${file:/no/such/file}${NO_SUCH_VARIABLE}"}
"""
PROMPT = "ready> "


def program(home: Home) -> Path:
    """Put `sidekey` where a shell finds it; what it says on stderr is kept."""
    path = home.folder / "bin" / "sidekey"
    path.parent.mkdir()
    path.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m proxy "$@" 2>>{home.folder}/said\n'
    )
    path.chmod(0o755)
    return path.parent


@pytest.fixture
def bash(home: Home) -> Iterator[pexpect.spawn]:
    """A bash into which somebody has installed the completion, in the folder of a configuration."""
    home.configure(CONFIG)
    environ = home.environ | {"PATH": f"{program(home)}:{home.environ['PATH']}", "PS1": PROMPT}
    shell = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile"],
        cwd=str(home.work),
        env=environ,
        encoding="utf-8",
        timeout=PATIENCE,
        dimensions=(50, 100),
    )
    shell.expect_exact(PROMPT)
    for line in ("bind 'set enable-bracketed-paste off'", "sidekey --install-completion"):
        shell.sendline(line)
        shell.expect_exact(PROMPT)
    shell.sendline("source ~/.bash_completions/sidekey.sh")
    shell.expect_exact(PROMPT)
    yield shell
    shell.close(force=True)


def offered(shell: pexpect.spawn, typed: str) -> list[str]:
    """Return what bash lists after two presses of Tab, where more than one thing is possible."""
    shell.send(f"{typed}\t\t")
    shell.expect_exact(typed)
    shell.expect_exact(PROMPT)
    listed = shell.before.replace("\x07", "").split()
    shell.sendcontrol("u")
    shell.sendline("")
    shell.expect_exact(PROMPT)
    return sorted(listed)


def completed(shell: pexpect.spawn, typed: str) -> str:
    """Return the line after one Tab and Enter, as `echo` repeats it."""
    shell.send(f"{typed}\t")
    shell.expect_exact(typed)
    shell.expect_exact(" ")
    rest = shell.before.replace("\x07", "")
    shell.sendcontrol("u")
    shell.sendline("")
    shell.expect_exact(PROMPT)
    return typed + rest


def said(home: Home) -> str:
    return (home.folder / "said").read_text()


def test_tab_completes_commands_upstreams_and_presets(bash: pexpect.spawn, home: Home) -> None:
    names = sorted(COMMANDS)
    assert offered(bash, "sidekey ") == names
    assert completed(bash, "sidekey stat") == "sidekey status"
    for command in ("login", "logout", "refresh", "token"):
        assert offered(bash, f"sidekey {command} ") == ["jquants", "misskey", "my-api"]
    assert offered(bash, "sidekey login m") == ["misskey", "my-api"]
    assert completed(bash, "sidekey token jq") == "sidekey token jquants"
    assert offered(bash, "sidekey presets ") == sorted(presets())
    assert completed(bash, "sidekey presets kabu") == "sidekey presets kabu-station"
    assert said(home) == ""
    assert not (home.work / "ran").exists()


def test_exec_completes_upstreams_before_the_dashes_and_files_behind(
    bash: pexpect.spawn, home: Home
) -> None:
    (home.work / "notebook.py").touch()
    assert completed(bash, "sidekey exec jquants mis") == "sidekey exec jquants misskey"
    assert completed(bash, "sidekey exec jquants -- noteb") == "sidekey exec jquants -- notebook.py"
    assert said(home) == ""


def test_the_file_that_was_named_is_the_one_that_is_read(bash: pexpect.spawn, home: Home) -> None:
    (home.work / "other.yaml").write_text("upstreams: {only-here: {}}")
    typed = "sidekey token --config other.yaml on"
    assert completed(bash, typed) == f"{typed}ly-here"


@pytest.mark.parametrize("text", ["upstreams: [", "upstreams: 5", "\x00", None])
async def test_a_configuration_that_cannot_be_read_offers_nothing_and_says_nothing(
    home: Home, text: str | None
) -> None:
    if text is not None:
        home.configure(text)
    ended = await home.run(
        "",
        _SIDEKEY_COMPLETE="complete_bash",
        COMP_WORDS="sidekey login ",
        COMP_CWORD="2",
    )
    assert ended.said.strip() == ""


def test_the_script_is_shown_for_the_shell_that_asks(bash: pexpect.spawn) -> None:
    bash.sendline("sidekey --show-completion")
    bash.expect_exact("_SIDEKEY_COMPLETE=complete_bash")
    bash.expect_exact("complete -o default -F _sidekey_completion sidekey")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
async def test_the_script_of_each_shell_can_be_had_for_a_package(home: Home, shell: str) -> None:
    ended = await home.run("", _SIDEKEY_COMPLETE=f"source_{shell}")
    assert (ended.code, ended.err) == (0, "")
    assert f"complete_{shell}" in ended.out
