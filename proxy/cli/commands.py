"""The commands as one program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from proxy import __version__

HELP = """\
Point any HTTP tool at localhost; sidekey gets, keeps and injects the right
credential.

\b
Examples:
  sidekey demo                    a look at it, with nothing to set up
  sidekey init                    asks a few questions, writes sidekey.yaml
  sidekey run                     serves; shows a curl line for each upstream
  sidekey exec -- python bot.py   serves as long as a command runs
"""

COMMANDS = (
    "init",
    "check",
    "run",
    "exec",
    "env",
    "login",
    "logout",
    "refresh",
    "status",
    "token",
    "explain",
    "trace",
    "presets",
    "schema",
    "health",
    "demo",
)


class ImportedCommands(Mapping[str, Any]):
    """The commands by name; a module is imported when somebody wants its command.

    All of them take twice the time of most: a health check would pay for the whole proxy.
    """

    def __getitem__(self, name: str) -> Any:
        """Return the command."""
        if name not in COMMANDS:
            raise KeyError(name)
        return _imported(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(COMMANDS)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(COMMANDS)


@cache
def _imported(name: str) -> Any:
    module = import_module(f"proxy.cli.{name}")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=getattr(module, "SYNTAX", None))(module.command)
    return typer.main.get_command(alone)


class Program(TyperGroup):
    """The program, whose commands are imported one by one."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": ImportedCommands()})

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a wrong option is told in the words that the configuration has."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            _tell_plainly(error)
            raise

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return list(self.commands)


def _tell_plainly(error: typer.BadParameter) -> None:
    """Put our words in place of pydantic's, by which newer versions of typer read options."""
    from pydantic import ValidationError

    from proxy.config.wording import text_of

    if isinstance(error.__cause__, ValidationError):
        error.message = text_of(error.__cause__)


app = typer.Typer(
    name="sidekey",
    cls=Program,
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"sidekey {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of sidekey itself."""
