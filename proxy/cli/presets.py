"""`sidekey presets`"""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import Annotated

import typer

from proxy.cli.completion import complete_preset
from proxy.cli.table import table
from proxy.config import presets
from proxy.errors import ConfigError
from proxy.nearest import did_you_mean


def command(
    name: Annotated[
        str | None,
        typer.Argument(help="Show this one.", show_default=False, autocompletion=complete_preset),
    ] = None,
) -> None:
    """List the catalogue of known APIs, or show one entry.

    \b
    Examples:
      sidekey presets
      sidekey presets jquants-v2
    """
    catalogue = presets()
    if name is None:
        rows = [(known, preset.description) for known, preset in catalogue.items()]
        print(table(rows, sys.stdout))
    elif name in catalogue:
        print((files("proxy.catalog") / f"{name}.yaml").read_text(encoding="utf-8").rstrip())
    else:
        hint = did_you_mean(name, catalogue)
        raise ConfigError([f"no preset is named {name}{hint}; there are: {', '.join(catalogue)}"])
