"""Sends a stream of bytes that may hold any number of requests, and reads whatever comes back."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass

from raw_client import RawClient

QUIET = 0.5  # seconds without a byte after which the client says that nothing more will come
HANG = 10.0  # seconds until an answer, or a connection that is not closed, counts as stuck
_ANSWER = re.compile(rb"HTTP/\d\.\d ([2-5]\d\d) [^\r\n]*\r\n(.*?)\r\n\r\n", re.DOTALL)


@dataclass(frozen=True)
class Answers:
    """What came back: how many answers, how many of them sidekey's own 4xx, whether some lack."""

    total: int = 0
    own: int = 0
    cut: bool = False


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
    answers = _ANSWER.findall(received)
    own = sum(status < b"500" and b"Sidekey-Error:" in head for status, head in answers)
    return Answers(len(answers), own, cut=len(answers) < expected)


async def _read_more(client: RawClient, received: bytearray, seconds: float) -> bool:
    """Add what comes next, or note the end; tell whether anything happened in that time."""
    try:
        received += await asyncio.wait_for(client.reader.read(65536), seconds)
    except TimeoutError:
        return False
    except ConnectionError:
        client.reader.feed_eof()
    return True
