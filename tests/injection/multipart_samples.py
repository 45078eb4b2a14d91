"""Parts of multipart content, and what comes out of the filter for it."""

from __future__ import annotations

from email import message_from_bytes
from email.message import Message

from injection_samples import PLAIN

from proxy.injection.multipart import MultipartFilter

BOUNDARY = "----b0undary"
OWN = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="i"\r\n\r\n{PLAIN.reveal()}\r\n'
).encode()
FILE = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a; name=i.txt"\r\n'
    "Content-Type: text/plain\r\n\r\nline\r\n\r\n--not a boundary\r\n"
).encode()
END = f"--{BOUNDARY}--\r\n".encode()


def part(disposition: str, content: str = "dummy") -> bytes:
    return f"--{BOUNDARY}\r\n{disposition}\r\n\r\n{content}\r\n".encode()


def filtered(content: bytes, size: int | None = None, boundary: str = BOUNDARY) -> bytes:
    """Return what comes out of a filter that is fed `size` bytes at a time."""
    content_filter = MultipartFilter(boundary, "i", PLAIN.reveal())
    step = size or max(len(content), 1)
    chunks = [content[at : at + step] for at in range(0, len(content), step)]
    return b"".join(map(content_filter.feed, chunks)) + content_filter.finish()


def parsed(content: bytes, content_type: str) -> list[tuple[object, bytes]]:
    """Return name and content of every part, as the parser of the standard library reads them."""
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content)
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [_read(one) for one in parts if isinstance(one, Message)]


def _read(one: Message) -> tuple[object, bytes]:
    content = one.get_payload(decode=True)
    assert isinstance(content, bytes)
    return one.get_param("name", header="Content-Disposition"), content
