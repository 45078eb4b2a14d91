"""Moments as people tell them: by how far away they are."""

from __future__ import annotations

from datetime import datetime

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def from_now(moment: datetime, now: datetime) -> str:
    """Return how far away `moment` is, in the largest unit of that: `in 59m`, `2h ago`."""
    seconds = int((moment - now).total_seconds())
    name, size = next((unit for unit in _UNITS if abs(seconds) >= unit[1]), _UNITS[-1])
    length = f"{abs(seconds) // size}{name}"
    return f"{length} ago" if seconds < 0 else f"in {length}"
