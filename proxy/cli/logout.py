"""`sidekey logout`"""

from __future__ import annotations

import asyncio

from proxy.cli.credentials import source_of
from proxy.cli.options import ConfigOption, NameArgument, load_config
from proxy.cli.output import say
from proxy.config import Loaded


def command(name: NameArgument, config: ConfigOption = None) -> None:
    """Forget an upstream's token; a running proxy notices.

    \b
    Examples:
      sidekey logout misskey
    """
    if asyncio.run(_forget(load_config(config), name)):
        say(f"{name}: forgotten here; revoke the token at the server too if it may be known")
    else:
        say(f"{name}: no token was stored")


async def _forget(loaded: Loaded, name: str) -> bool:
    async with source_of(loaded, name) as (source, _):
        return await source.forget()
