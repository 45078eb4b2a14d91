"""Listeners that would get in each other's way."""

from __future__ import annotations

from proxy.config.issues import Issue, KeyPath, written
from proxy.config.models import Listen


def port_conflicts(value: dict[str, object]) -> list[Issue]:
    """Return an issue for every upstream whose port is taken already.

    `value` is what was written, so that conflicts are told together with other mistakes.
    """
    taken = _listen_port(value.get("listen", {}))
    issues: list[Issue] = []
    upstreams = value.get("upstreams")
    for name, upstream in upstreams.items() if isinstance(upstreams, dict) else ():
        port = _port(upstream.get("port")) if isinstance(upstream, dict) else 0
        path: KeyPath = ("upstreams", name, "port")
        if port in taken:
            issues.append(Issue(path, f"port {port} is taken by {taken[port]}"))
        elif port:
            taken[port] = written(path[:2])
    return issues


def _listen_port(listen: object) -> dict[int, str]:
    if not isinstance(listen, dict) or listen.get("unix_socket") is not None:
        return {}
    port = _port(listen.get("port", Listen().port))
    return {port: "listen.port"} if port else {}


def _port(value: object) -> int:
    """Return a port, or 0 for what is none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0
