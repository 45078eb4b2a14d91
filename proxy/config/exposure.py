"""Listeners that other machines can reach."""

from __future__ import annotations

import ipaddress

from proxy.config.issues import Issue
from proxy.config.models import Settings


def exposure(settings: Settings) -> list[Issue]:
    """Return an issue if other machines can reach the port and nothing asks clients who they are.

    Whoever reaches the port uses the credentials: Docker Desktop's engine was open to every
    container in this way (CVE-2025-9074).
    """
    listen = settings.listen
    own_ports = any(upstream.port is not None for upstream in settings.upstreams.values())
    over_tcp = listen.unix_socket is None or own_ports
    if settings.clients is not None or not over_tcp or _is_loopback(listen.host):
        return []
    return [
        Issue(
            ("listen", "host"),
            f"other machines can reach {listen.host}: add clients (header or keys), which every"
            " program then has to show, or listen on 127.0.0.1",
        )
    ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
