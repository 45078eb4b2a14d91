"""`sidekey run`"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from proxy import __version__
from proxy.app import Running, open_store, running
from proxy.cli.options import ConfigOption, load_config
from proxy.cli.output import say, table
from proxy.config import INHERITED, Loaded, load
from proxy.config.models import Clients
from proxy.config.versions import Versions
from proxy.credentials.redaction import Redaction
from proxy.errors import ConfigError
from proxy.hardening import allow_many_connections, take_from_environment
from proxy.observe import logs
from proxy.observe.status import SERVING, status_of
from proxy.reload import Reload


def command(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Listen on this address.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Listen on this port; 0 takes a free one.")
    ] = None,
    unix_socket: Annotated[Path | None, typer.Option(help="Listen on this socket.")] = None,
) -> None:
    """Serve every upstream at http://127.0.0.1:8080/NAME/.

    Ctrl-C and SIGTERM are how it is stopped: requests under way have 5 seconds, then it exits 0.
    A second one ends it at once.
    SIGHUP, or a change of the configuration or of a file that it refers to, loads it again.
    """
    environ = dict(os.environ)
    overrides = _overrides(host, port, unix_socket)
    files: Versions = {}
    loaded = load_config(config, overrides, files)
    _take_variables(loaded)
    allow_many_connections()
    redaction = Redaction()
    logs.configure(redaction=redaction, level=logs.level_of(environ))

    def load_again(files: Versions) -> Loaded:
        again = load(
            loaded.path,
            environ=environ,
            overrides=overrides,
            files=files,
            is_trusted=loaded.is_trusted,
        )
        _take_variables(again)
        return again

    asyncio.run(_serve(loaded, environ, redaction, partial(Reload, load_again, files)))


def _take_variables(loaded: Loaded) -> None:
    """Leave the variables that the configuration uses to no program that is started from here."""
    take_from_environment(loaded.variables.difference(INHERITED))


def _overrides(host: str | None, port: int | None, unix_socket: Path | None) -> dict[str, object]:
    """Return the settings that options replace."""
    options: dict[str, object] = {
        "listen.host": host,
        "listen.port": port,
        "listen.unix_socket": unix_socket,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if unix_socket is not None and len(given) > 1:
        raise ConfigError(["--unix-socket stands in place of --host and --port"])
    return given


async def _serve(
    loaded: Loaded,
    environ: Mapping[str, str],
    redaction: Redaction,
    build_reload: Callable[..., Reload],
) -> None:
    stopped, asked = asyncio.Event(), asyncio.Event()
    terminal = sys.stderr.isatty()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, stopped, number)
    loop.add_signal_handler(signal.SIGHUP, _hang_up, asked, stopped, terminal)
    store = open_store(loaded.settings.store, environ)
    observe = logs.log_observer(banner=terminal)
    async with running(loaded.settings, store=store, observe=observe, redaction=redaction) as proxy:
        reload = build_reload(proxy.change, observe, asked)
        reloading = asyncio.create_task(reload.run(), name="reload")
        if terminal:
            say(await banner(loaded, proxy))
        await stopped.wait()
        reloading.cancel()


def _stop(stopped: asyncio.Event, number: signal.Signals) -> None:
    """Stop in order; who asks a second time does not want to wait for that."""
    if stopped.is_set():
        os._exit(128 + number)  # as a shell tells of a program that the signal has ended
    stopped.set()


def _hang_up(asked: asyncio.Event, stopped: asyncio.Event, terminal: bool) -> None:
    """Load again, unless the terminal is gone: then there is nobody left to press Ctrl-C."""
    if terminal and not sys.stderr.isatty():
        stopped.set()
    else:
        asked.set()


async def banner(loaded: Loaded, proxy: Running) -> str:
    """Return what a person wants to see first: what is served where, and a line to paste."""
    rows = [await _row(proxy, name) for name in proxy.upstreams]
    first = next(iter(proxy.upstreams))
    return (
        f"sidekey {__version__}, {loaded.path}\n{table(rows)}\n"
        f"try:  curl -i {_shown(loaded.settings.clients)}{curl_url(proxy, first)}\n"
        "stop with Ctrl-C"
    )


def _shown(clients: Clients | None) -> str:
    """Return curl's option with which a client shows who it is; the secret itself stays out."""
    if clients is None:
        return ""
    if clients.header is not None:
        return f'-H "{clients.header.name}: $SECRET" '
    return '-H "Authorization: Bearer $KEY" '


async def _row(proxy: Running, name: str) -> tuple[str, ...]:
    """Return where an upstream is, and what has to be done before it can serve."""
    status = await status_of(proxy.sources[name])
    needed = "" if status.state in SERVING else f"first: {status.fix or status.error}"
    return f"  {proxy.urls[name]}/", "->", proxy.upstreams[name], needed


def curl_url(proxy: Running, name: str) -> str:
    """Return the arguments with which curl reaches an upstream, ready for a shell."""
    url = f"{proxy.urls[name]}/"
    if not url.startswith("unix:"):
        return url
    path, _, rest = url.removeprefix("unix:").rpartition(f"/{name}/")
    return f"--unix-socket {shlex.quote(path)} http://localhost/{name}/{rest}"
