"""A small HTTP client that sends exactly what it is told and shows exactly what came back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

PAUSE = 0.4
"""Seconds between the pieces of a body, as in the recordings."""


@dataclass(frozen=True)
class Exchange:
    """One request; a body of several pieces is sent with a pause between them."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes, ...] = ()
    http: str = "1.1"
    chunked: bool = False

    def filled_in(self, values: dict[str, str]) -> Exchange:
        """The request with every `{name}` replaced by its value."""
        return Exchange(
            self.method,
            _fill(self.target, values),
            tuple((name, _fill(value, values)) for name, value in self.headers),
            tuple(_fill(piece.decode("latin-1"), values).encode("latin-1") for piece in self.body),
            self.http,
            self.chunked,
        )

    def pieces(self, host: str) -> list[bytes]:
        """What goes over the wire: the head, then the body."""
        fields = list(self.headers)
        if not any(name == "Host" for name, _ in fields):
            fields.insert(0, ("Host", host))
        body = list(self.body)
        if self.chunked:
            fields.append(("Transfer-Encoding", "chunked"))
            body = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in body if piece]
            body.append(b"0\r\n\r\n")
        elif body:
            fields.append(("Content-Length", str(sum(map(len, body)))))
        lines = [f"{self.method} {self.target} HTTP/{self.http}"]
        lines += [f"{name}: {value}" for name, value in fields]
        return ["\r\n".join([*lines, "", ""]).encode("utf-8"), *body]


@dataclass(frozen=True)
class Answer:
    """A response as it came, without interim ones."""

    status: int
    headers: dict[str, str]
    body: str

    def field(self, name: str) -> str:
        """A header field, empty if it is absent."""
        return self.headers.get(name, "")

    def json(self) -> dict[str, str]:
        """The body, if it is a JSON object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


async def send(origin: str, exchange: Exchange, *, patience: float | None = None) -> Answer | None:
    """Send one request on a connection of its own; None if nothing came within `patience`."""
    parts = urlsplit(origin)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    sending = asyncio.create_task(_write(writer, exchange.pieces(parts.netloc)))
    try:
        async with asyncio.timeout(patience):
            return await _read(reader, exchange.method)
    except TimeoutError:
        return None
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


async def _write(writer: asyncio.StreamWriter, pieces: list[bytes]) -> None:
    for number, piece in enumerate(pieces):
        if number > 1:
            await asyncio.sleep(PAUSE)
        writer.write(piece)
        await writer.drain()


async def _read(reader: asyncio.StreamReader, method: str) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100 "):
        head = await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = head.decode().strip().split("\r\n")
    status = int(status_line.split(" ")[1])
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if method == "HEAD" or status in (101, 204):
        return Answer(status, headers, "")
    length = headers.get("content-length")
    body = await reader.readexactly(int(length)) if length else await reader.read()
    return Answer(status, headers, body.decode(errors="replace"))


def _fill(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text
