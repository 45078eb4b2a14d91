"""Where a reference leads: one file a place that keeps secrets. No message repeats a value."""

from __future__ import annotations

MAX_BYTES = 64 * 1024  # of one value


class Unresolved(Exception):
    """A reference leads nowhere; the message says why."""


def as_text(content: bytes, origin: str) -> str:
    """Return `content` without one trailing newline. Raises `Unresolved`."""
    if len(content) > MAX_BYTES:
        raise Unresolved(f"{origin} is larger than 64 KiB")
    try:
        return content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise Unresolved(f"{origin} is not UTF-8") from None
