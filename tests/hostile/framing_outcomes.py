"""What becomes of bytes that are sent to a proxy under attack, and of their connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from hostile_harness import Hostile
from raw_client import RawClient

OPEN = 1.0  # seconds after an answer until a connection counts as left open
REFUSED = "400 bad-message, closed"
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"1\r\na\r\n0\r\n\r\n"


def post(hostile: Hostile, *fields: bytes, content: bytes = b"", version: bytes = b"1.1") -> bytes:
    """Return a request to `/r/a` in bytes, with nothing added but Host."""
    lines = [b"POST /r/a HTTP/" + version, b"Host: " + hostile.proxy.host.encode(), *fields]
    return b"\r\n".join([*lines, b"", b""]) + content


async def outcome(hostile: Hostile, sent: bytes) -> str:
    """Return the first answer in short, and what became of the connection."""
    async with hostile.connect() as client:
        await client.send(sent)
        answer = await client.answer(sent.partition(b" ")[0].decode("latin-1"))
        slug = "".join(answer.field("Sidekey-Error")) or "passed"
        return f"{answer.status} {slug}, {await fate(client)}"


async def fate(client: RawClient) -> str:
    """Tell what follows an answer: nothing (`open`), the end (`closed`), or a second answer."""
    try:
        rest = await asyncio.wait_for(client.reader.read(100), OPEN)
    except TimeoutError:
        return "open"
    except ConnectionError:
        return "closed"
    return "and more" if rest else "closed"


async def check_refused(
    hostile: Hostile, sent: Mapping[str, bytes], expected: str = REFUSED
) -> None:
    """Send each of `sent` over a connection of its own; not a byte may reach the upstream."""
    outcomes = {name: await outcome(hostile, request) for name, request in sent.items()}
    assert outcomes == dict.fromkeys(sent, expected)
    assert hostile.upstream.connections == []


async def everything(hostile: Hostile, sent: bytes) -> list[int]:
    """Return the statuses of all answers to what a client sends that sends nothing more."""
    async with hostile.connect() as client:
        await client.send(sent)
        first = await client.answer()
        rest = b""
        with contextlib.suppress(OSError):  # the connection is closed already
            client.writer.write_eof()
            rest = await client.reader.read()
    return [first.status, *(int(line.split()[1]) for line in rest.split(b"HTTP/1.1")[1:])]


def by_fields(hostile: Hostile, *cases: Iterable[bytes]) -> dict[str, bytes]:
    """Return requests with chunks behind them, by the fields that each of them has."""
    return {repr(list(fields)): post(hostile, *fields, content=CHUNKS) for fields in cases}
