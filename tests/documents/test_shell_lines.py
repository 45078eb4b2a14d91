"""Shell lines of the documents: bash can read them, and commands and options of sidekey exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer
from command_line import ROOT
from document_blocks import FILES, Block, blocks_of

from proxy.cli.commands import app

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
CALL = re.compile(r"(?:^|[\s`(])sidekey ((?:--version)|[a-z]+)((?: +[^\s`|;&)]+)*)")
TEXTS = [*FILES, ROOT / "README.md"]
SHELL = blocks_of(*TEXTS, language="sh")


def options_of(command: str) -> set[str]:
    return {name for parameter in COMMANDS[command].params for name in parameter.opts}


def check(line: str) -> None:
    """Fail for a command or an option that sidekey does not have."""
    for command, rest in CALL.findall(line):
        if command == "--version":
            continue
        assert command in COMMANDS, line
        given = {word for word in rest.partition(" -- ")[0].split() if word.startswith("--")}
        assert given <= options_of(command), line


@pytest.mark.parametrize("block", SHELL, ids=lambda block: str(block.place))
def test_bash_reads_a_block_and_its_commands_of_sidekey_exist(block: Block) -> None:
    ended = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    for line in block.commands:
        check(line)


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_commands_of_sidekey_in_the_text_exist(file: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", file.read_text(), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`(sidekey [^`]+)`", text):
        check(code.replace("[", "").replace("]", ""))


def test_a_command_or_an_option_that_is_not_there_is_found() -> None:
    for line in ("sidekey serve", "sidekey check --on-line", "sudo sidekey runs"):
        with pytest.raises(AssertionError):
            check(line)
