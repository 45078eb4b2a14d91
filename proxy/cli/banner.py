"""What `sidekey run` shows a person first."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from proxy import __version__
from proxy.app import Running
from proxy.cli.colour import painted
from proxy.cli.moments import from_now
from proxy.cli.table import columns_of
from proxy.clock import utc_now
from proxy.config import Loaded
from proxy.credentials.source import Source
from proxy.observe.curl import curl_line
from proxy.observe.status import SERVING, Status, status_of

_WORDS = {
    "renewing": "being renewed",
    "expired": "renewed at the first request",
    "idle": "fetched at the first request",
    "acquiring": "being fetched",
}


class _Row(NamedTuple):
    """One upstream: where it is served, where that leads, and how its credential is."""

    url: str
    upstream: str
    state: str
    serves: bool


async def banner(loaded: Loaded, proxy: Running) -> str:
    """Return what is served where, how each credential is, and lines to paste."""
    rows = [await _row(proxy, name) for name in proxy.upstreams]
    settings, variables = loaded.settings, loaded.effective.origins.copies
    lines = [
        painted(f"sidekey {__version__}", "bold") + f", {loaded.path}",
        *_rendered(rows, columns_of(sys.stderr) or 80),  # most are as wide as that
        *(
            f"try:  {curl_line(name, proxy.urls[name], upstream, settings.clients, variables)}"
            for name, upstream in settings.upstreams.items()
        ),
    ]
    if not proxy.addresses[0].startswith("unix:"):
        lines.append(f"dashboard:  {proxy.addresses[0]}/_sidekey/")
    return "\n".join([*lines, "stop with Ctrl-C"])


async def _row(proxy: Running, name: str) -> _Row:
    source = proxy.sources[name]
    status = await status_of(source)
    return _Row(
        f"{proxy.urls[name]}/",
        proxy.upstreams[name],
        _state(source, status, utc_now()),
        status.state in SERVING,
    )


def _state(source: Source, status: Status, now: datetime) -> str:
    """Return in words how a credential is, or what has to be done before it can be used."""
    if status.state not in SERVING:
        return f"first: {status.fix or status.error}"
    if not source.provider.kept:
        return "has a key"
    if status.state in _WORDS:
        return _WORDS[status.state]
    user = f" as {status.user}" if status.user else ""
    end = f", expires {from_now(status.expires_at, now)}" if status.expires_at else ""
    return f"ready{user}{end}"


def _rendered(rows: Sequence[_Row], columns: int) -> Iterator[str]:
    """Yield a line for each upstream; the state gets one of its own where it would not fit."""
    urls = max(len(row.url) for row in rows)
    upstreams = max(len(row.upstream) for row in rows)
    before = len("  ") + urls + len(" -> ") + upstreams + len("  ")
    is_wide = all(before + len(row.state) <= columns for row in rows)
    for row in rows:
        state = painted(row.state, "green" if row.serves else "yellow")
        url = painted(row.url, "cyan") + " " * (urls - len(row.url))
        gap = "  " + " " * (upstreams - len(row.upstream)) if is_wide else "\n      "
        yield f"  {url} -> {row.upstream}{gap}{state}"
