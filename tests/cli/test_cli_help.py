"""Help: short, with examples that are true; and what is offered for a slip of the finger."""

from __future__ import annotations

import re
import shlex

import pytest
from command_line import Home
from typer.main import get_command
from typer.testing import CliRunner

from proxy.cli.commands import app

IMPORTED = """
import atexit, sys
sys.argv = {arguments}
atexit.register(lambda: print("\\n" + " ".join(sys.modules)))
from proxy.cli import main
main()
"""

PROGRAM = get_command(app)
COMMANDS = sorted(PROGRAM.commands)


def help_of(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="sidekey")
    assert result.exit_code == 0
    return result.output


def examples_of(*command: str) -> list[str]:
    section = re.search(r"^  Examples:\n((?:    .+\n)+)", help_of(*command), re.MULTILINE)
    assert section is not None, f"no examples: {command}"
    return [line.strip() for line in section[1].splitlines()]


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_every_help_has_examples_and_fits_into_80_columns(command: tuple[str, ...]) -> None:
    assert examples_of(*command)
    assert not [line for line in help_of(*command).splitlines() if len(line) > 80]


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_every_example_has_a_command_and_options_that_there_are(command: tuple[str, ...]) -> None:
    for example in examples_of(*command):
        found = re.search(r"\bsidekey ((?:[^|>)#]|'[^']*')*)", example)
        assert found is not None, example
        name, *words = shlex.split(re.split(r" {3,}", found[1])[0], posix=False)
        assert name in COMMANDS, example
        assert not command or name == command[0]
        own = words[: words.index("--")] if "--" in words else words
        options = {option for entry in PROGRAM.commands[name].params for option in entry.opts}
        assert {word for word in own if word.startswith("-")} <= options, example


def test_the_first_help_begins_with_what_it_is_and_how_to_start() -> None:
    text = help_of()
    assert text.index("Point any HTTP tool") < text.index("Examples:") < text.index("Options:")
    assert [line.split()[1] for line in examples_of()] == ["demo", "init", "run", "exec"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("stauts",), "'status'"),
        (("run", "--prot", "1"), "--port"),
        (("login", "miskey"), "no upstream is named miskey (did you mean 'misskey'?)"),
        (("exec", "miskey", "--", "true"), "(did you mean 'misskey'?)"),
        (("presets", "misskey-tokn"), "(did you mean 'misskey-token'?)"),
    ],
)
async def test_the_nearest_name_is_offered(
    home: Home, arguments: tuple[str, ...], said: str
) -> None:
    home.configure("upstreams:\n  misskey: {preset: misskey, base_url: 'http://127.0.0.1:9'}\n")
    ended = await home.run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--port", "x"), "'--port': expected a whole number"),
        (("run", "--port", "1.5"), "'--port': expected a whole number"),
        (("run", "--workers", "0"), "'--workers': must be 1 or more"),
        (("run", "--workers", "x"), "'--workers': expected a whole number"),
        (("login", "a", "--timeout", "x"), "'--timeout': expected a number"),
        (("login", "a", "--timeout=-1"), "'--timeout': must be 0 or more"),
        (("env", "--shell", "foo"), "'--shell': 'foo' is not one of 'bash', 'zsh', 'fish',"),
        (("explain", "G:T", "/a"), "METHOD: a method has letters only"),
        (("explain", "GET", "/a", "-H", "x"), "-H: expected 'Name: value'"),
    ],
)
def test_a_wrong_option_is_told_as_a_wrong_key_is(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, arguments, prog_name="sidekey")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Error: Invalid value for {said}" in result.stderr


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        (("--version",), {"proxy.config", "pydantic", "aiohttp", "proxy.app"}),
        (("health",), {"aiohttp", "proxy.app", "proxy.cli.demo"}),
        (("presets",), {"aiohttp", "proxy.app", "proxy.cli.demo"}),
        (("token", "misskey"), {"proxy.app", "proxy.gateway.server", "proxy.cli.demo"}),
    ],
)
async def test_a_command_imports_only_what_it_needs(
    home: Home, command: tuple[str, ...], unneeded: set[str]
) -> None:
    """Health checks run every few seconds, and `$(sidekey token NAME)` in loops."""
    home.configure("upstreams:\n  misskey: {preset: misskey, base_url: 'http://127.0.0.1:9'}\n")
    ended = await home.python(IMPORTED.format(arguments=["sidekey", *command]))
    imported = set(ended.out.splitlines()[-1].split())
    assert "typer" in imported
    assert not unneeded & imported


async def test_without_a_configuration_init_is_offered(home: Home) -> None:
    assert "to write one: sidekey init\n" in (await home.run("check")).err
