"""The text of a first configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from proxy.cli.places import Place
from proxy.credentials.secret import Secret

_TOP = """\
# The configuration of sidekey, first written by `sidekey init`.
#   sidekey check     says what is wrong with it, with line and column
#   sidekey run       serves it, and takes over what you change here
#   sidekey schema    prints a JSON Schema of all keys, for your editor
# No secret stands in this file: it says where they are.

# listen: {host: 127.0.0.1, port: 8080}

upstreams:
"""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}  # YAML 1.1


@dataclass(frozen=True, slots=True)
class Entry:
    """One upstream as it is going to be written.

    `about` and `notes` (by key of the provider) are comments. Keys of the provider that are secret
    get a reference to where they are kept.
    """

    name: str
    about: Sequence[str]
    keys: Mapping[str, str]
    provider: Mapping[str, str | Secret]
    notes: Mapping[str, str] = field(default_factory=dict)
    inject: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_secret(self) -> bool:
        """Whether something has to be kept elsewhere."""
        return any(isinstance(value, Secret) for value in self.provider.values())


def written(entries: Sequence[Entry], place: Place, undo: ExitStack) -> str:
    """Return the YAML text, with every secret kept in `place`; `undo` will forget them.

    Raises `StoreError`.
    """
    return _TOP + "\n".join(_upstream(entry, place, undo) for entry in entries)


def _upstream(entry: Entry, place: Place, undo: ExitStack) -> str:
    lines = [f"  # {line}" for line in entry.about]
    lines.append(f"  {entry.name}:")
    lines += [f"    {key}: {_scalar(_dollars(value))}" for key, value in entry.keys.items()]
    if entry.provider:
        lines.append("    provider:")
    for key, value in entry.provider.items():
        if isinstance(value, Secret):
            text = place.keep(entry.name, key, value, undo)
        else:
            text = _dollars(value)
        note = f"   # {entry.notes[key]}" if key in entry.notes else ""
        lines.append(f"      {key}: {_scalar(text)}{note}")
    if entry.inject:
        rule = ", ".join(
            f"{key}: {_scalar(_dollars(value))}" for key, value in entry.inject.items()
        )
        lines.append(f"    inject: {{{rule}}}")
    return "\n".join(lines) + "\n"


def _dollars(value: str) -> str:
    """Return an answer so that no part of it is taken for a reference."""
    return value.replace("$", "$$")


def _scalar(value: str) -> str:
    """Return a text as YAML: a JSON string is one, and only plain words need no quotes."""
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
