"""`sidekey status`"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

import typer

from proxy.cli.credentials import sources_of
from proxy.cli.local import NoAnswer, address, another_program, ask
from proxy.cli.options import ConfigOption, load_config
from proxy.cli.output import FAILED, LOGIN_NEEDED, say
from proxy.cli.status_text import status_text
from proxy.config import Loaded
from proxy.config.models import Settings
from proxy.observe.status import status_of


def command(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the state of each token; exit 4 if one needs a login.

    Exits 1 if a token cannot be had for another reason.

    \b
    Examples:
      sidekey status
      sidekey status --json | jq '.upstreams[] | {upstream, state}'
    """
    loaded = load_config(config)
    upstreams = _told(loaded)
    if upstreams is None:
        upstreams = asyncio.run(_stored(loaded))
    print(_as_json(upstreams) if as_json else status_text(upstreams, sys.stdout))
    states = {upstream["state"] for upstream in upstreams}
    if "login-required" in states:
        raise typer.Exit(LOGIN_NEEDED)
    if states & {"failed", "blocked"}:
        raise typer.Exit(FAILED)


def _told(loaded: Loaded) -> list[dict[str, Any]] | None:
    """Return what the running proxy tells; say why, if that is nothing."""
    try:
        return asked(loaded.settings)
    except NoAnswer as why:
        say(f"{why}; this is what the store tells")
        return None


def asked(settings: Settings) -> list[dict[str, Any]]:
    """Return what the proxy that runs with these settings tells. Raises `NoAnswer`."""
    listen = settings.listen
    upstreams = ask(listen, "/_sidekey/status", "upstreams", clients=settings.clients)
    if not isinstance(upstreams, list) or not all(map(_is_told, upstreams)):
        raise NoAnswer(another_program(listen))
    if {upstream["upstream"] for upstream in upstreams} != set(settings.upstreams):
        raise NoAnswer(f"the proxy at {address(listen)} serves another configuration")
    return list(upstreams)


def _is_told(upstream: object) -> bool:
    return isinstance(upstream, dict) and {"upstream", "state"} <= upstream.keys()


async def _stored(loaded: Loaded) -> list[dict[str, Any]]:
    """Return what the store tells while no proxy runs."""
    async with sources_of(loaded) as (sources, _):
        statuses = await asyncio.gather(*map(status_of, sources.values()))
        return [status.members() for status in statuses]


def _as_json(upstreams: list[dict[str, Any]]) -> str:
    return json.dumps({"upstreams": upstreams}, ensure_ascii=False, indent=2)
