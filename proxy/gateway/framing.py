"""Messages as bytes: heads and chunks (RFC 9112). Pure."""

from __future__ import annotations

from collections.abc import Iterable

LAST_CHUNK = b"0\r\n\r\n"


def joined(start: bytes, fields: Iterable[tuple[str, str]]) -> bytes:
    """Return the head of a message: its start line and its fields as they go on the wire.

    Raises `ValueError` for a line break within them: nothing that gets here holds one, and nothing
    that did could be told from a field of its own.
    """
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    text = "".join(lines)
    breaks = text.count("\n"), text.count("\r")
    if breaks != (len(lines), len(lines)) or b"\n" in start or b"\r" in start:
        raise ValueError("a line break in the head of a message")
    return b"%b\r\n%b\r\n" % (start, text.encode())


def chunk(data: bytes) -> bytes:
    """Return data as one chunk (7.1); none for no data, since an empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def head_of(data: bytes) -> bytes | None:
    """Return the head that `data` begins with, if no parser could see another one in it.

    Some take a bare LF for the end of a line (RFC 9112 2.2), and empty lines before the first.
    """
    head = data[: data.find(b"\r\n\r\n") + 4]
    lines = head.count(b"\r\n")
    is_clear = head.count(b"\r") == head.count(b"\n") == lines > 1
    return head if is_clear and not head.startswith(b"\r\n") else None
