"""`sidekey token`"""

from __future__ import annotations

import asyncio

from proxy.cli.credentials import source_of
from proxy.cli.options import ConfigOption, NameArgument, load_config
from proxy.config import Loaded


def command(name: NameArgument, config: ConfigOption = None) -> None:
    """Print the current token and nothing else, for $(...).

    \b
    Examples:
      curl -H "Authorization: Bearer $(sidekey token api)" https://api.example.com
    """
    print(asyncio.run(_token(load_config(config), name)))


async def _token(loaded: Loaded, name: str) -> str:
    async with source_of(loaded, name) as (source, _):
        return (await source.token()).value.reveal()
