"""`sidekey status`"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer

from proxy.cli.credentials import sources_of
from proxy.cli.local import address, ask
from proxy.cli.options import ConfigOption, load_config
from proxy.cli.output import FAILED, LOGIN_NEEDED, say, table
from proxy.config import Loaded
from proxy.observe.status import status_of

COLUMNS = ("upstream", "state", "expires_at", "next_renewal", "user")


def command(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the state of each token; exit 4 if one needs a login.

    Exits 1 if a token cannot be had for another reason.
    """
    loaded = load_config(config)
    upstreams = ask(loaded.settings, "/_sidekey/status", "upstreams")
    if upstreams is not None and not _are_ours(upstreams, loaded):
        say(f"the proxy at {address(loaded.settings.listen)} serves another configuration")
        upstreams = None
    if upstreams is None:
        upstreams = asyncio.run(_stored(loaded))
    print(_as_json(upstreams) if as_json else _rendered(upstreams))
    states = {upstream["state"] for upstream in upstreams}
    if "login-required" in states:
        raise typer.Exit(LOGIN_NEEDED)
    if "failed" in states:
        raise typer.Exit(FAILED)


def _are_ours(upstreams: list[dict[str, Any]], loaded: Loaded) -> bool:
    return {upstream["upstream"] for upstream in upstreams} == set(loaded.settings.upstreams)


async def _stored(loaded: Loaded) -> list[dict[str, Any]]:
    """Return what the store tells while no proxy runs."""
    async with sources_of(loaded) as (sources, _):
        return [(await status_of(source)).members() for source in sources.values()]


def _as_json(upstreams: list[dict[str, Any]]) -> str:
    return json.dumps({"upstreams": upstreams}, ensure_ascii=False, indent=2)


def _rendered(upstreams: list[dict[str, Any]]) -> str:
    heads = tuple(column.replace("_", " ") for column in COLUMNS)
    rows = [tuple(upstream.get(column) or "-" for column in COLUMNS) for upstream in upstreams]
    notes = [
        f"{upstream['upstream']}: {upstream['error']}"
        + (f" ({upstream['fix']})" if "fix" in upstream else "")
        for upstream in upstreams
        if "error" in upstream
    ]
    return "\n".join([table([heads, *rows]), *notes])
