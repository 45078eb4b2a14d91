"""Configuration texts that the gateway's tests share; each stands below `upstreams:`."""

from __future__ import annotations

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
