"""The names of requests, by which log, problems and people speak of the same one."""

from __future__ import annotations

import random


def new_request_id() -> str:
    """Return 16 hexadecimal digits, which differ from others; they need not be unguessable."""
    return f"{random.getrandbits(64):016x}"
