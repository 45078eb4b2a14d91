"""Which of the known names was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, `None` where none is like it."""
    near = difflib.get_close_matches(name, list(known), n=1) if isinstance(name, str) else []
    return near[0] if near else None


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the nearest known name, or an empty text."""
    near = nearest(name, known)
    return "" if near is None else f" (did you mean '{near}'?)"
