"""`sidekey status`"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer

from proxy.cli.credentials import sources_of
from proxy.cli.local import ask
from proxy.cli.options import ConfigOption, load_config
from proxy.cli.output import LOGIN_NEEDED, table
from proxy.config import Loaded
from proxy.observe.status import as_json, status_of

COLUMNS = ("upstream", "state", "expires_at", "next_renewal", "user")


def command(
    config: ConfigOption = None,
    as_json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the token of each upstream; exit 4 if any needs a login."""
    loaded = load_config(config)
    answer = ask(loaded.settings.listen, "/_sidekey/status")
    text = answer.decode() if answer is not None else asyncio.run(_stored(loaded))
    upstreams = json.loads(text)["upstreams"]
    print(text.rstrip() if as_json_ else _rendered(upstreams))
    if any(upstream["state"] == "login-required" for upstream in upstreams):
        raise typer.Exit(LOGIN_NEEDED)


async def _stored(loaded: Loaded) -> str:
    """Return what the store tells while no proxy runs."""
    async with sources_of(loaded) as (sources, _):
        return as_json([await status_of(source) for source in sources.values()])


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
