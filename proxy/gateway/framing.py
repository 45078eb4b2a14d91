"""Messages as bytes: heads and chunks (RFC 9112). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from multidict import CIMultiDict
from yarl import URL

from proxy.injection.request import OutgoingRequest
from proxy.notation import origin_of

LAST_CHUNK = b"0\r\n\r\n"
WITHOUT_LENGTH = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # unless they have content


def host_of(base_url: str) -> str:
    """Return what the Host field says to an upstream."""
    return URL(origin_of(base_url)).host_port_subcomponent or ""


def target_of(path: str, query: str) -> str:
    """Return the target of a request; `path` is the one at the upstream."""
    return f"{path or '/'}?{query}" if query else path or "/"


def frame(
    fields: CIMultiDict[str], request: OutgoingRequest, *, exists: bool, length: int | None
) -> None:
    """Say in `fields` how the content is framed.

    Where it is not at hand it is the client's own, if that `exists`; its `length` is not told if it
    comes in chunks.
    """
    if request.content is not None:
        length = len(request.content)
    elif exists and (request.filters or length is None):
        fields["Transfer-Encoding"] = "chunked"
        return
    if length or request.method not in WITHOUT_LENGTH:
        fields["Content-Length"] = str(length or 0)


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
