"""Takes secrets out of log lines: by the name of a field, and wherever a known one stands."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

from proxy.credentials.redaction import SENSITIVE_NAME, Redaction
from proxy.credentials.secret import MASK

Line = MutableMapping[str, Any]
PLAIN = (int, float, type(None))


class Masking:
    """A processor of structlog, for the place before the renderer.

    Every text of a line is searched, that of an exception included; what is no text, number, list
    or mapping is searched as its `repr`.
    """

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction

    def __call__(self, logger: object, method: str, line: Line) -> Line:
        """Return `line` without secrets."""
        return {name: self._masked(name, value) for name, value in line.items()}

    def _masked(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            return MASK if _is_sensitive(name) else self._redaction.masked(value)
        if isinstance(value, PLAIN):
            return value
        if isinstance(value, list | tuple):
            return [self._masked(name, item) for item in value]
        if isinstance(value, dict):
            return {key: self._masked(str(key), item) for key, item in value.items()}
        return self._redaction.masked(repr(value))


@lru_cache(maxsize=256)
def _is_sensitive(name: str) -> bool:
    return SENSITIVE_NAME.search(name) is not None
