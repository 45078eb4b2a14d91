"""The commands as one program."""

from __future__ import annotations

from typing import Annotated

import typer

from proxy import __version__
from proxy.cli import (
    check,
    demo,
    env,
    explain,
    health,
    init,
    login,
    logout,
    presets,
    refresh,
    run,
    schema,
    status,
    token,
    trace,
)
from proxy.cli import exec as exec_

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

app = typer.Typer(
    name="sidekey",
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
)
COMMANDS = (
    init,
    check,
    run,
    exec_,
    env,
    login,
    logout,
    refresh,
    status,
    token,
    explain,
    trace,
    presets,
    schema,
    health,
    demo,
)
SYNTAX = {exec_: exec_.CommandBehindDashes}
for module in COMMANDS:
    app.command(module.__name__.rpartition(".")[2], cls=SYNTAX.get(module))(module.command)


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
