"""What `sidekey run` shows a person first."""

from __future__ import annotations

import shlex

from proxy import __version__
from proxy.app import Running
from proxy.cli.output import table
from proxy.config import Loaded
from proxy.config.models import Clients
from proxy.observe.status import SERVING, status_of


async def banner(loaded: Loaded, proxy: Running) -> str:
    """Return what is served where, and a line to paste."""
    rows = [await _row(proxy, name) for name in proxy.upstreams]
    first = next(iter(proxy.upstreams))
    return (
        f"sidekey {__version__}, {loaded.path}\n{table(rows)}\n"
        f"try:  curl -i {_shown(loaded.settings.clients)}{_curl_url(proxy, first)}\n"
        "stop with Ctrl-C"
    )


def _shown(clients: Clients | None) -> str:
    """Return curl's option with which a client shows who it is; the secret itself stays out."""
    if clients is None:
        return ""
    if clients.header is not None:
        return f'-H "{clients.header.name}: $SECRET" '
    return '-H "Authorization: Bearer $KEY" '


async def _row(proxy: Running, name: str) -> tuple[str, ...]:
    """Return where an upstream is, and what has to be done before it can serve."""
    status = await status_of(proxy.sources[name])
    needed = "" if status.state in SERVING else f"first: {status.fix or status.error}"
    return f"  {proxy.urls[name]}/", "->", proxy.upstreams[name], needed


def _curl_url(proxy: Running, name: str) -> str:
    """Return the arguments with which curl reaches an upstream, ready for a shell."""
    url = f"{proxy.urls[name]}/"
    if not url.startswith("unix:"):
        return url
    path, _, rest = url.removeprefix("unix:").rpartition(f"/{name}/")
    return f"--unix-socket {shlex.quote(path)} http://localhost/{name}/{rest}"
