"""`sidekey run`"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from proxy import __version__
from proxy.app import Running, open_store, running
from proxy.cli.options import ConfigOption, load_config
from proxy.cli.output import say, table
from proxy.config import Loaded
from proxy.observe import logs


def command(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Listen on this address.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Listen on this port; 0 takes a free one.")
    ] = None,
    unix_socket: Annotated[Path | None, typer.Option(help="Listen on this socket.")] = None,
) -> None:
    """Serve: every upstream at http://127.0.0.1:8080/NAME/."""
    options = {"listen.host": host, "listen.port": port, "listen.unix_socket": unix_socket}
    given = {name: value for name, value in options.items() if value is not None}
    loaded = load_config(config, given)
    logs.configure()
    asyncio.run(_serve(loaded))


async def _serve(loaded: Loaded) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    store = open_store(loaded.settings.store, os.environ)
    async with running(loaded.settings, store=store, observe=logs.log_observer()) as proxy:
        if sys.stderr.isatty():
            say(banner(loaded, proxy))
        await stopped.wait()


def banner(loaded: Loaded, proxy: Running) -> str:
    """Return what a person wants to see first: what is served where, and a line to paste."""
    upstreams = loaded.settings.upstreams
    rows = [(f"  {proxy.urls[name]}/", "->", upstreams[name].base_url) for name in upstreams]
    first = next(iter(upstreams))
    return (
        f"sidekey {__version__}, {loaded.path}\n{table(rows)}\n"
        f"try:  curl -i {curl_url(proxy, first)}\nstop with Ctrl-C"
    )


def curl_url(proxy: Running, name: str) -> str:
    """Return the arguments with which curl reaches an upstream."""
    url = f"{proxy.urls[name]}/"
    if not url.startswith("unix:"):
        return url
    path, _, rest = url.removeprefix("unix:").rpartition(f"/{name}/")
    return f"--unix-socket {path} http://localhost/{name}/{rest}"
