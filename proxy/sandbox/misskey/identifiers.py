"""Ids, tokens and timestamps in the forms that Misskey gives them."""

from __future__ import annotations

import itertools
import secrets
import string
import time
from datetime import UTC, datetime

_DIGITS = string.digits + string.ascii_lowercase
_ALPHANUMERICS = string.ascii_letters + string.digits
_EPOCH_MS = 946_684_800_000  # 2000-01-01, where the ids of Misskey begin
_counter = itertools.count()


def new_id(length: int) -> str:
    """A sortable id: 8 base-36 digits of milliseconds, the rest counts up."""
    milliseconds = time.time_ns() // 1_000_000 - _EPOCH_MS
    return _base36(milliseconds, 8) + _base36(next(_counter), length - 8)


def new_token(length: int = 32) -> str:
    """A random alphanumeric token: 16 characters for a user's own, 32 for an app's."""
    return "".join(secrets.choice(_ALPHANUMERICS) for _ in range(length))


def now() -> str:
    """The present as JavaScript's `toISOString` writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _base36(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, remainder = divmod(number, 36)
        digits = _DIGITS[remainder] + digits
    return digits
