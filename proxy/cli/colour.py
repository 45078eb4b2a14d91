"""Colours for people: only on a terminal that can show them, and unless `NO_COLOR` is set."""

from __future__ import annotations

import os
import sys

_CODES = {"bold": "1", "green": "32", "yellow": "33", "cyan": "36"}


def painted(text: str, colour: str) -> str:
    """Return `text` in a colour, for stderr; plain where nobody would see it.

    See https://no-color.org: a value counts, an empty one does not.
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not text or not sys.stderr.isatty():
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"
