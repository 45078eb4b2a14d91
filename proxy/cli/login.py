"""`sidekey login`"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import webbrowser
from typing import Annotated

import typer

from proxy.cli.credentials import Watch, source_of
from proxy.cli.loopback import loopback_sign_in
from proxy.cli.options import ConfigOption, NameArgument, check_name, load_config
from proxy.cli.output import say
from proxy.config import Loaded
from proxy.credentials.login import TIMEOUT, only_login
from proxy.credentials.token import Token
from proxy.errors import ConfigError, SidekeyError
from proxy.stores import state_folder


def command(
    name: NameArgument,
    config: ConfigOption = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the URL.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the approval.")
    ] = TIMEOUT,
) -> None:
    """Sign in to an upstream that asks a human.

    \b
    Examples:
      sidekey login misskey
      sidekey login misskey --no-browser    over SSH: open the page yourself
    """
    loaded = load_config(config)
    check_name(loaded, name)
    token = signed_in(loaded, name, open_browser=not no_browser, wait=timeout)
    user = f" as {token.outputs['user']}" if "user" in token.outputs else ""
    say(f"{name}: signed in{user}; a running proxy uses the token from now on")


def signed_in(
    loaded: Loaded, name: str, *, open_browser: bool, wait: float, watch: Watch | None = None
) -> Token:
    """Lead a human through the sign-in, and return the token, which is kept."""
    if loaded.settings.store.type == "memory":
        raise ConfigError([f"{loaded.path}: store.type: memory forgets a login at once; use file"])
    with only_login(state_folder(loaded.settings.store, os.environ), name):
        return asyncio.run(_login(loaded, name, open_browser=open_browser, wait=wait, watch=watch))


async def _login(
    loaded: Loaded, name: str, *, open_browser: bool, wait: float, watch: Watch | None
) -> Token:
    async with source_of(loaded, name, watch) as (source, exchange):
        countdown: asyncio.Task[None] | None = None

        def show(url: str) -> None:
            nonlocal countdown
            say(f"Open this page and approve the request:\n\n  {url}\n")
            if open_browser:
                # A browser of the terminal would hold up the callback that it is to call.
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
            if sys.stderr.isatty():
                countdown = asyncio.create_task(_count_down(wait))

        try:
            return await loopback_sign_in(source, exchange, show=show, wait=wait)
        except SidekeyError as error:
            error.upstream = name
            raise
        finally:
            if countdown is not None:
                countdown.cancel()
                say("")


async def _count_down(seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        minutes, rest = divmod(int(left), 60)
        print(f"\rwaiting {minutes}:{rest:02} ", end="", file=sys.stderr, flush=True)
        await asyncio.sleep(1)
