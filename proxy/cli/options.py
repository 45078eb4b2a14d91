"""Options that several commands share, and the configuration that they name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.completion import complete_upstream
from proxy.cli.output import say
from proxy.config import INHERITED, Loaded, find, listen_of, load
from proxy.config.models import Listen
from proxy.config.versions import Versions
from proxy.errors import ConfigError
from proxy.hardening import keep_memory_private, take_from_environment
from proxy.nearest import did_you_mean

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration file.", show_default=False),
]
NameArgument = Annotated[
    str,
    typer.Argument(
        help="The upstream's name.", show_default=False, autocompletion=complete_upstream
    ),
]


def load_config(
    config: Path | None,
    overrides: Mapping[str, object] | None = None,
    files: Versions | None = None,
) -> Loaded:
    """Find and load the configuration; warnings go to stderr. Raises `ConfigError`.

    `files` is filled with the versions of the files that are read.
    From now on this process holds secrets, so its memory is kept private.
    """
    keep_memory_private()
    path, is_trusted = find(config, environ=os.environ, cwd=Path.cwd())
    loaded = load(path, environ=os.environ, overrides=overrides, files=files, is_trusted=is_trusted)
    for warning in loaded.warnings:
        say(warning)
    return loaded


def take_variables(loaded: Loaded) -> None:
    """Leave the variables that the configuration uses to no program that is started from here."""
    take_from_environment(loaded.variables.difference(INHERITED))


def load_listen(config: Path | None) -> Listen:
    """Return where the proxy listens, though its configuration may have mistakes by now."""
    try:
        path, is_trusted = find(config, environ=os.environ, cwd=Path.cwd())
    except ConfigError:
        path, is_trusted = Path(os.devnull), True
    return listen_of(path, environ=os.environ, is_trusted=is_trusted)


def check_name(loaded: Loaded, name: str) -> None:
    """Raise `ConfigError` if no upstream has this name."""
    known = loaded.settings.upstreams
    if name not in known:
        hint = did_you_mean(name, known)
        raise ConfigError(
            [f"{loaded.path}: no upstream is named {name}{hint}; there are: {', '.join(known)}"]
        )
