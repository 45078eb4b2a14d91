"""What h11, strict and in memory, makes of a stream of bytes: the second opinion."""

from __future__ import annotations

from dataclasses import dataclass, field

import h11

HEAD_LIMIT = 2**17


@dataclass
class Seen:
    """One request that h11 saw from its beginning to its end."""

    method: str
    target: str
    content: bytes


@dataclass
class Reading:
    """The requests of a stream; `refused` tells whether h11 calls something in it malformed."""

    requests: list[Seen] = field(default_factory=list)
    refused: bool = False


def read_strictly(stream: bytes) -> Reading:
    """Return what h11 sees in `stream`; what is cut short at its end does not count."""
    reading = Reading()
    rest = stream
    try:
        while rest:
            rest = _read_one(rest, reading)
    except h11.RemoteProtocolError:
        reading.refused = True
    return reading


def _read_one(stream: bytes, reading: Reading) -> bytes:
    """Add the first request of `stream`, if it is all there, and return what follows it."""
    parser = h11.Connection(h11.SERVER, HEAD_LIMIT)
    parser.receive_data(stream)
    head = parser.next_event()
    if not isinstance(head, h11.Request):
        return b""
    content = b""
    while isinstance(event := parser.next_event(), h11.Data):
        content += bytes(event.data)
    if not isinstance(event, h11.EndOfMessage):
        return b""
    reading.requests.append(Seen(head.method.decode(), head.target.decode("latin-1"), content))
    return parser.trailing_data[0]
