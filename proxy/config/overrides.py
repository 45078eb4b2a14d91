"""Options and environment variables that win over the file."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.config.issues import KeyPath

_VARIABLES = {
    "SIDEKEY_HOST": "listen.host",
    "SIDEKEY_PORT": "listen.port",
    "SIDEKEY_UNIX_SOCKET": "listen.unix_socket",
}

_Changes = dict[str, tuple[object, str]]


def override(
    value: dict[str, object], environ: Mapping[str, str], options: Mapping[str, object]
) -> tuple[dict[str, object], dict[KeyPath, str]]:
    """Return the values after options and environment, and where each of those came from.

    `options` maps dotted keys such as `listen.port`, named after the option `--port`.
    """
    variables: _Changes = {
        key: (environ[name], name) for name, key in _VARIABLES.items() if environ.get(name)
    }
    given: _Changes = {key: (option, _option_name(key)) for key, option in options.items()}
    changes = _in_place_of_a_socket(variables) | _in_place_of_a_socket(given)
    origins: dict[KeyPath, str] = {}
    for key, (changed, origin) in changes.items():
        section, name = key.split(".")
        entries = value.get(section, {})
        if isinstance(entries, dict):  # else the file's own mistake is reported
            value = value | {section: entries | {name: changed}}
            origins[section, name] = origin
    return value, origins


def _in_place_of_a_socket(changes: _Changes) -> _Changes:
    """Return `changes` with the socket of a lower level taken away, if they name an address."""
    for key in ("listen.host", "listen.port"):
        if key in changes:
            return {"listen.unix_socket": (None, changes[key][1])} | changes
    return changes


def _option_name(key: str) -> str:
    return "--" + key.rpartition(".")[2].replace("_", "-")
