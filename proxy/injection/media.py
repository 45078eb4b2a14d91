"""How parameters of Content-Type and Content-Disposition are written. Pure."""

from __future__ import annotations

import re

_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:\\.|[^"\\])*"|[^;]*)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def parameters(value: str, name: str) -> list[str]:
    """Return the values of every parameter called `name` in a field value (RFC 9110 5.6.6).

    Quoted values come without their quotes and escapes, others as they are up to the next `;`.
    """
    found = _PARAMETER.findall(value)
    return [_unquoted(text.strip()) for key, text in found if key.lower() == name]


def names(value: str) -> list[str]:
    """Return the names of all parameters in a field value, in lower case."""
    return [key.lower() for key, _ in _PARAMETER.findall(value)]


def _unquoted(text: str) -> str:
    if len(text) < 2 or not text.startswith('"') or not text.endswith('"'):
        return text
    return _ESCAPED.sub(r"\1", text[1:-1])
