"""What a shell offers when somebody presses Tab. Nothing is said on stderr, whatever is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from proxy.config import find, presets
from proxy.config.outline import upstream_names
from proxy.errors import ConfigError


def complete_upstream(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names in the configuration that begin so; no reference in it is followed."""
    config = ctx.params.get("config")
    try:
        path, is_trusted = find(
            None if config is None else Path(config), environ=os.environ, cwd=Path.cwd()
        )
        names = upstream_names(path, is_trusted=is_trusted)
    except (ConfigError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]


def complete_preset(incomplete: str) -> list[tuple[str, str]]:
    """Return the presets that begin so, with their descriptions."""
    return [
        (name, preset.description)
        for name, preset in presets().items()
        if name.startswith(incomplete)
    ]
