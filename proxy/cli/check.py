"""`sidekey check`"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from proxy.cli.credentials import sources_of
from proxy.cli.options import ConfigOption, load_config
from proxy.cli.output import FAILED, say
from proxy.config import Loaded
from proxy.credentials.providers import InteractiveProvider
from proxy.credentials.source import Source
from proxy.errors import SidekeyError


def command(
    config: ConfigOption = None,
    online: Annotated[
        bool, typer.Option("--online", help="Also acquire a token where no human is needed.")
    ] = False,
) -> None:
    """Validate the configuration: say all that is wrong."""
    loaded = load_config(config)
    count = len(loaded.settings.upstreams)
    print(f"{loaded.path}: ok, {count} upstream{'' if count == 1 else 's'}")
    if online and not asyncio.run(_acquire_all(loaded)):
        raise typer.Exit(FAILED)


async def _acquire_all(loaded: Loaded) -> bool:
    async with sources_of(loaded) as (sources, _):
        return all([await _acquired(source) for source in sources.values()])


async def _acquired(source: Source) -> bool:
    if isinstance(source.provider, InteractiveProvider):
        print(f"{source.name}: skipped, needs sidekey login {source.name}")
        return True
    try:
        await source.peek()  # a store that fails stops nothing that can be bought, and is told
        token = await source.token()
    except SidekeyError as error:
        print(f"{source.name}: {error.detail}")
        if error.fix:
            say(f"{source.name}: {error.fix}")
        return False
    until = f" until {token.expires_at.isoformat(timespec='seconds')}" if token.expires_at else ""
    kind = "a token" if source.provider.kept else "a key, which only a request can try"
    print(f"{source.name}: ok, has {kind}{until}")
    return True
