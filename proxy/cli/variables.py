"""The environment variables by which a client finds an upstream, and shows who it is."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.config.models import Clients


def variables_of(urls: Mapping[str, str], clients: Clients | None) -> dict[str, str]:
    """Return `NAME_BASE_URL` for each upstream, and `NAME_API_KEY` where clients have keys.

    The key is the first phantom key: made up, and worth something at this proxy only.
    """
    variables = {}
    for name, url in urls.items():
        variables[f"{prefix(name)}_BASE_URL"] = url
        if clients is not None and clients.keys:
            variables[f"{prefix(name)}_API_KEY"] = clients.keys[0].reveal()
    return variables


def prefix(name: str) -> str:
    """Return an upstream's name as part of a variable's; no shell lets one begin with a digit."""
    prefix = name.upper().replace("-", "_")
    return f"_{prefix}" if prefix[0].isdigit() else prefix
