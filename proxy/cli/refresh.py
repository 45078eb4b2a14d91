"""`sidekey refresh`"""

from __future__ import annotations

import asyncio

from proxy.cli.credentials import source_of
from proxy.cli.options import ConfigOption, NameArgument, check_name, load_config
from proxy.cli.output import say
from proxy.config import Loaded
from proxy.credentials.token import Token
from proxy.errors import ConfigError, LoginRequired, SidekeyError, StoreError


def command(name: NameArgument, config: ConfigOption = None) -> None:
    """Renew an upstream's token now, also after refusals.

    A running proxy notices.

    \b
    Examples:
      sidekey refresh jquants
    """
    loaded = load_config(config)
    check_name(loaded, name)
    if loaded.settings.store.type == "memory":
        why = "store.type: memory: a running proxy would not notice; restart it instead"
        raise ConfigError([f"{loaded.path}: {why}"])
    token = asyncio.run(_refreshed(loaded, name))
    until = f" until {token.expires_at.isoformat(timespec='seconds')}" if token.expires_at else ""
    say(f"{name}: has a new token{until}")


async def _refreshed(loaded: Loaded, name: str) -> Token:
    async with source_of(loaded, name) as (source, _):
        if not source.provider.kept:
            raise ConfigError([f"upstreams.{name}: its keys stand in the configuration"])
        if source.provider.interactive:
            raise LoginRequired("only a human gets another token", fix=f"sidekey login {name}")
        try:
            token = await source.refresh()
        except SidekeyError as error:
            error.upstream = name
            raise
    if not source.saved:
        raise StoreError("the new token is lost, since it cannot be kept", upstream=name)
    return token
