"""What arrived at the sandbox, byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

KEPT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it came over the wire; `body` holds its first 64 KiB."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


class Arrival:
    """A request whose body is kept while it is read."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.method = request.method
        self.path, _, self.query = request.raw_path.partition("?")
        self._kept = bytearray()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces, each as soon as it is there."""
        content = self.request.content
        while chunk := await content.readany():
            self._kept += chunk[: KEPT_BYTES - len(self._kept)]
            yield chunk

    async def body(self, limit: int) -> bytes | None:
        """The whole body, or None as soon as it is known to be longer than `limit` bytes."""
        if (self.request.content_length or 0) > limit:
            return None
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                return None
        return bytes(body)

    def record(self) -> RecordedRequest:
        """The request with as much of its body as has been read."""
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self.request.raw_headers
        ]
        return RecordedRequest(self.method, self.request.raw_path, headers, bytes(self._kept))
