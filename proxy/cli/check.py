"""`sidekey check`"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from proxy.cli.credentials import sources_of
from proxy.cli.effective import told
from proxy.cli.options import ConfigOption, load_config
from proxy.cli.output import FAILED, say
from proxy.clock import elapsed
from proxy.config import Loaded
from proxy.credentials.providers import InteractiveProvider
from proxy.credentials.source import Source
from proxy.errors import AnswerUnusable, GrantRejected, SidekeyError, TokenEndpointError


def command(
    config: ConfigOption = None,
    online: Annotated[
        bool, typer.Option("--online", help="Also acquire a token where no human is needed.")
    ] = False,
    effective: Annotated[
        bool, typer.Option("--effective", help="Also print every value, and where it came from.")
    ] = False,
) -> None:
    """Validate the configuration: say all that is wrong.

    \b
    Examples:
      sidekey check
      sidekey check --online
      sidekey check --effective | grep timeouts
    """
    loaded = load_config(config)
    count = len(loaded.settings.upstreams)
    print(f"{loaded.path}: ok, {count} upstream{'' if count == 1 else 's'}")
    if effective:
        print(told(loaded.effective))
    if online and not asyncio.run(_acquire_all(loaded)):
        raise typer.Exit(FAILED)


async def _acquire_all(loaded: Loaded) -> bool:
    """Acquire every token at once, where sources do not wait for each other; tell in order."""
    async with sources_of(loaded) as (sources, _):
        tasks = [asyncio.create_task(_acquired(source)) for source in sources.values()]
        return all([_told(await task) for task in tasks])


@dataclass(frozen=True, slots=True)
class _Checked:
    """What came of one upstream; `fixes` are the lines that say what to do."""

    line: str
    is_ok: bool = True
    fixes: tuple[str, ...] = ()


def _told(checked: _Checked) -> bool:
    print(checked.line, flush=True)
    for fix in checked.fixes:
        say(fix)
    return checked.is_ok


async def _acquired(source: Source) -> _Checked:
    name = source.name
    if isinstance(source.provider, InteractiveProvider):
        return _Checked(f"{name}: skipped, needs sidekey login {name}")
    began = elapsed()
    try:
        await source.peek()  # a store that fails stops nothing that can be bought, and is told
        token = await source.token()
    except SidekeyError as error:
        return _failed(name, error)
    until = f" until {token.expires_at.isoformat(timespec='seconds')}" if token.expires_at else ""
    if not source.provider.kept:
        return _Checked(f"{name}: ok, has a key, which only a request can try")
    return _Checked(f"{name}: ok, has a token{until} ({elapsed() - began:.1f} s)")


def _failed(name: str, error: SidekeyError) -> _Checked:
    fixes = [f"{name}: {error.fix}"] if error.fix else []
    if isinstance(error, GrantRejected | AnswerUnusable | TokenEndpointError):
        fixes.append(f"{name}: sidekey trace {name} shows what is asked and answered")
    return _Checked(f"{name}: {error.detail}", is_ok=False, fixes=tuple(fixes))
