"""`sidekey env`"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.local import LOOPBACK
from proxy.cli.options import ConfigOption
from proxy.cli.output import say
from proxy.cli.variables import variables_of
from proxy.config import find
from proxy.config.models import Listen
from proxy.config.outline import Outline, outline_of
from proxy.errors import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_./:@%+=,-]+")


class Shell(StrEnum):
    """A notation of variables."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"
    DOTENV = "dotenv"
    JSON = "json"


def command(
    config: ConfigOption = None,
    shell: Annotated[
        Shell | None, typer.Option(help="For this shell or format; by default that of $SHELL.")
    ] = None,
) -> None:
    """Print the variables by which clients find the proxy, for eval.

    NAME_BASE_URL for each upstream (my-api: MY_API_BASE_URL), and a phantom key in
    NAME_API_KEY where clients.keys is set.

    \b
    Examples:
      eval "$(sidekey env)"                                 # bash, zsh
      sidekey env --shell fish | source
      sidekey env --shell powershell | Out-String | Invoke-Expression
      sidekey env --shell dotenv > .env
    """
    path, is_trusted = find(config, environ=os.environ, cwd=Path.cwd())
    outline = outline_of(path, environ=os.environ, is_trusted=is_trusted)
    variables = variables_of(_urls(outline), outline.clients)
    for name in sorted(variables.keys() & outline.variables):
        say(f"{name} is left out: the configuration itself reads that variable")
        del variables[name]
    print(_rendered(variables, shell or _own_shell()))


def _urls(outline: Outline) -> dict[str, str]:
    """Return by upstream where clients point their base URL. Raises `ConfigError`."""
    listen = outline.listen
    host = LOOPBACK.get(listen.host, listen.host)
    origin = f"http://[{host}]" if ":" in host else f"http://{host}"
    shared = [name for name, port in outline.ports.items() if port is None]
    if shared and (why := _unknown(listen)):
        raise ConfigError([f"{outline.path}: {', '.join(shared)}: {why}"])
    return {
        name: f"{origin}:{listen.port}/{name}" if port is None else f"{origin}:{port}"
        for name, port in outline.ports.items()
    }


def _unknown(listen: Listen) -> str:
    """Return why there is no base URL, or an empty text."""
    if listen.unix_socket is not None:
        return (
            "behind a unix socket there is no base URL that all tools understand;"
            " give it a port of its own, or use sidekey exec"
        )
    if listen.port == 0:
        return (
            "listen.port is 0, so that only the running proxy knows its port;"
            " set listen.port, or use sidekey exec"
        )
    return ""


def _own_shell() -> Shell:
    """Return the notation of the shell that `$SHELL` names; bash, if that says nothing."""
    name = Path(os.environ.get("SHELL", "")).name
    if name == "pwsh":
        return Shell.POWERSHELL
    return Shell(name) if name in ("zsh", "fish") else Shell.BASH


def _rendered(variables: Mapping[str, str], shell: Shell) -> str:
    if shell is Shell.JSON:
        return json.dumps(variables, indent=2)
    return "\n".join(_LINES[shell](name, value) for name, value in variables.items())


def _posix(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str) -> str:
    """In single quotes, fish reads `\\\\` and `\\'` only."""
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{quoted}'"


def _powershell(name: str, value: str) -> str:
    """In single quotes, PowerShell reads a doubled quote only."""
    quoted = value.replace("'", "''")
    return f"$env:{name} = '{quoted}'"


def _dotenv(name: str, value: str) -> str:
    """Quotes only where needed: `docker run --env-file` takes them for a part of the value."""
    if _BARE.fullmatch(value):
        return f"{name}={value}"
    if "'" not in value and "\\" not in value:
        return f"{name}='{value}'"
    escaped = re.sub(r'(["\\$`])', r"\\\1", value)
    return f'{name}="{escaped}"'


_LINES: Mapping[Shell, Callable[[str, str], str]] = {
    Shell.BASH: _posix,
    Shell.ZSH: _posix,
    Shell.FISH: _fish,
    Shell.POWERSHELL: _powershell,
    Shell.DOTENV: _dotenv,
}
