"""`sidekey exec`"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from proxy.app import Running, running
from proxy.cli.completion import complete_upstream
from proxy.cli.options import ConfigOption, check_name, load_config, take_variables
from proxy.cli.output import say
from proxy.cli.variables import variables_of
from proxy.config import Loaded
from proxy.config.models import Settings
from proxy.credentials.redaction import Redaction
from proxy.errors import ConfigError
from proxy.observe import logs
from proxy.observe.status import SERVING, status_of
from proxy.stores import open_store

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as a shell says it
OWN_LISTENER = {"listen.host": "127.0.0.1", "listen.port": 0}
_COMMAND = "command"


class CommandBehindDashes(TyperCommand):
    """Leaves what stands behind `--` alone: it is another program's."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep that part for `command`, and read the rest as usual."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = args[end + 1 :] if "--" in args else None
        return super().parse_args(ctx, args[:end])

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line."""
        return [*super().collect_usage_pieces(ctx), "-- COMMAND [ARGUMENT]..."]


SYNTAX = CommandBehindDashes  # of this command, where others have typer's


def _complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer upstreams before the dashes; behind them a shell offers files by itself."""
    return complete_upstream(ctx, incomplete) if ctx.meta[_COMMAND] is None else []


def command(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="The upstreams that it may use; all, if none is named.",
            autocompletion=_complete,
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run a command with a proxy of its own, and return its exit code.

    The command finds each upstream in NAME_BASE_URL (my-api: MY_API_BASE_URL), and
    a phantom key in NAME_API_KEY where clients.keys is set. The variables from
    which the configuration takes secrets are not in its environment.

    \b
    Examples:
      sidekey exec -- sh -c 'curl "$MISSKEY_BASE_URL/api/meta" -d "{}"'
      sidekey exec jquants -- python notebook.py
      sidekey exec jquants misskey -- my-coding-agent
    """
    argv: list[str] | None = ctx.meta[_COMMAND]
    if not argv:
        raise ConfigError(["what to run stands behind two dashes: sidekey exec [NAME...] -- CMD"])
    environ = dict(os.environ)
    loaded = load_config(config, OWN_LISTENER)
    for name in names or ():
        check_name(loaded, name)
    take_variables(loaded)
    redaction = Redaction()
    logs.configure(
        redaction=redaction, level=logs.level_of({logs.LEVEL_VARIABLE: "warning"} | environ)
    )
    raise typer.Exit(asyncio.run(_run(argv, loaded, names or (), environ, redaction)))


async def _run(
    argv: Sequence[str],
    loaded: Loaded,
    names: Collection[str],
    environ: Mapping[str, str],
    redaction: Redaction,
) -> int:
    """Serve the named upstreams while the command runs; return its exit code."""
    settings = _only(loaded.settings, names)
    observe = logs.log_observer()
    store = open_store(settings.store, environ, observe)
    async with (
        aclosing(store),
        running(settings, store=store, observe=observe, redaction=redaction) as proxy,
    ):
        clients = settings.clients
        if clients is not None and clients.header is not None and not clients.keys:
            name = clients.header.name
            say(f"sidekey: {loaded.path}: clients.header: the command has to send {name}")
        await _tell_what_is_needed(proxy)
        return await _ended(argv, dict(os.environ) | variables_of(proxy.urls, clients))


def _only(settings: Settings, names: Collection[str]) -> Settings:
    """Return the settings of the named upstreams; a port of its own becomes a free one."""
    upstreams = {
        name: upstream.model_copy(update={"port": None if upstream.port is None else 0})
        for name, upstream in settings.upstreams.items()
        if not names or name in names
    }
    return settings.model_copy(update={"upstreams": upstreams})


async def _tell_what_is_needed(proxy: Running) -> None:
    """Say which upstreams cannot serve yet, and what to do; the command may not need them."""
    for source in proxy.sources.values():
        status = await status_of(source)
        if status.state not in SERVING:
            fix = f"; first: {status.fix}" if status.fix else ""
            say(f"sidekey: {source.name}: {status.error}{fix}")


async def _ended(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command to its end, in this terminal; return its exit code."""
    signals = _Signals()
    try:
        process = await asyncio.create_subprocess_exec(*argv, env=environ)
    except FileNotFoundError:
        say(f"sidekey: {argv[0]}: no such command")
        return NOT_FOUND
    except OSError as error:
        say(f"sidekey: {argv[0]}: {error.strerror}")
        return NOT_EXECUTABLE
    signals.go_to(process)
    code = await process.wait()
    return code if code >= 0 else 128 - code


class _Signals:
    """Passes on to the command what asks for its end, from the first moment on.

    What keys of the terminal send (Ctrl-C, Ctrl-\\) reaches the command too, and is its own.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._early: list[signal.Signals] = []
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, lambda: None)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._pass_on, number)

    def go_to(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        for number in self._early:
            self._pass_on(number)

    def _pass_on(self, number: signal.Signals) -> None:
        if self._process is None:
            self._early.append(number)
        elif self._process.returncode is None:
            self._process.send_signal(number)
