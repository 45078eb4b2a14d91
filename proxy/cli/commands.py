"""The commands as one program."""

from __future__ import annotations

from typing import Annotated

import typer

from proxy import __version__
from proxy.cli import (
    check,
    demo,
    health,
    login,
    logout,
    presets,
    refresh,
    run,
    schema,
    status,
    token,
)

app = typer.Typer(
    name="sidekey",
    help="Point any HTTP tool at localhost; sidekey gets, keeps and injects the right credential.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
)
COMMANDS = (run, check, demo, login, logout, refresh, status, token, presets, schema, health)
for module in COMMANDS:
    app.command(module.__name__.rpartition(".")[2])(module.command)


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
