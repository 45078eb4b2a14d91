"""Configuration texts that the gateway's tests share; each stands below `upstreams:`."""

from __future__ import annotations

from proxy.gateway.forwarding import PROCESS

HOP = ("Sidekey-Hop", PROCESS)  # goes to upstreams in clear text
KEY = "canary-key-1"
BEARER = f"Bearer {KEY}"


def keyed(origin: str, *, name: str = "r", path: str = "", more: str = "") -> str:
    """One upstream with an API key, as a Bearer token if `more` does not say otherwise."""
    lines = [f"  {line}" for line in more.strip().splitlines()]
    beginning = [
        f"{name}:",
        f"  base_url: {origin}{path}",
        f"  provider: {{type: api_key, keys: {KEY}}}",
    ]
    return "\n".join([*beginning, *lines])


def tokened(origin: str, token_origin: str, *, more: str = "") -> str:
    """One upstream `r` whose tokens come from the token endpoint at `token_origin`."""
    lines = [f"  {line}" for line in more.strip().splitlines()]
    beginning = [
        "r:",
        f"  base_url: {origin}",
        "  provider:",
        "    type: oauth2_client_credentials",
        f"    token_url: {token_origin}/oauth/token",
        "    client_id: me",
        "    client_secret: canary-client-secret",
    ]
    return "\n".join([*beginning, *lines])


def protected(answer: bytes, *more: str) -> bytes:
    """Return `answer` as clients get it: with the fields that every answer gets, and `more`."""
    head, _, content = answer.partition(b"\r\n\r\n")
    added = ["X-Content-Type-Options: nosniff", "Cross-Origin-Resource-Policy: same-origin"]
    if not (b"\r\nCache-Control:" in head or b"\r\nExpires:" in head or b" 304 " in head):
        added.append("Cache-Control: no-store")
    return "\r\n".join(["", *added, *more, "", ""]).encode().join([head, content])
