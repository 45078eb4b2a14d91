"""Sends a stream of bytes that may hold any number of requests, and reads whatever comes back."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass

from raw_client import RawClient

QUIET = 0.5  # seconds without a byte after which the client says that nothing more will come
HANG = 10.0  # seconds until an answer, or a connection that is not closed, counts as stuck
_ANSWER = re.compile(rb"HTTP/\d\.\d ([2-5]\d\d) [^\r\n]*(\r\n.*?)\r\n\r\n", re.DOTALL)


@dataclass(frozen=True)
class Answers:
    """The answers to one stream; `expected` is how many the client waited for.

    `refusals` are those of the statuses that the proxy gave itself, and not because of the
    upstream.
    """

    expected: int
    statuses: tuple[int, ...]
    own: tuple[int, ...]

    @property
    def refusals(self) -> tuple[int, ...]:
        return tuple(status for status in self.own if status < 500 or status in (501, 505))

    @property
    def missing(self) -> bool:
        return len(self.statuses) < self.expected


async def exchange(client: RawClient, stream: bytes, expected: int) -> Answers:
    """Send `stream`, read the answers, say that nothing more will come, and see it end."""
    received = bytearray()
    client.writer.write(stream)
    while len(_ANSWER.findall(received)) < expected and not client.reader.at_eof():
        if not await _read_more(client, received, QUIET):
            break
    with contextlib.suppress(OSError):  # the proxy has closed the connection already
        client.writer.write_eof()
    while not client.reader.at_eof():
        assert await _read_more(client, received, HANG), "the connection hangs"
    answers = [(int(status), fields) for status, fields in _ANSWER.findall(received)]
    own = tuple(status for status, fields in answers if b"\r\nSidekey-Error: " in fields)
    return Answers(expected, tuple(status for status, _ in answers), own)


async def _read_more(client: RawClient, received: bytearray, seconds: float) -> bool:
    """Add what comes next, or note the end; tell whether anything happened in that time."""
    try:
        received += await asyncio.wait_for(client.reader.read(65536), seconds)
    except TimeoutError:
        return False
    except ConnectionError:
        client.reader.feed_eof()
    return True
