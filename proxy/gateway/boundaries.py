"""Where requests begin and end in what a client's connection reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from proxy.gateway.framing import head_of

_LAST_CHUNK = re.compile(rb"\r\n0+(?:;[^\r\n]*)?\r\n\r\n\Z")  # without trailers (RFC 9112 7.1)
_LONGEST_END = 64  # bytes

Read = tuple[Any, StreamReader]  # a message, or aiohttp's word for a refused one, and its content


class Boundaries:
    """Follows the requests of one connection, beside the parser, which tells nobody where it is.

    Only where a request has ended may the fast lane look at what comes next: anywhere else that may
    look like a request and be a part of another. `final` is the content of a request behind which
    no other one is to be answered.
    """

    def __init__(self) -> None:
        self.final: StreamReader | None = None
        self._rest: int | None = 0  # bytes of a request that are yet to come, if that is known
        self._chunks: StreamReader | None = None  # content that is coming in chunks
        self._end = b""  # of what was read so far

    @property
    def is_between(self) -> bool:
        """Whether a request has plainly ended, and nothing has come of the next one."""
        return self._rest == 0

    def read(self, data: bytes, new: Sequence[Read]) -> bytes | None:
        """Follow `data`, in which the parser has found the heads of `new`.

        Return the head of the request that begins there, if it is plain to see and alone.
        """
        self._mind_trailers(data, new)
        if self._rest != 0:
            self._rest = None if self._rest is None else _left(self._rest, data)
            return None
        head = head_of(data)
        message: Any = new[0][0] if len(new) == 1 else None
        if head is None or not _is_simple(message):
            self._rest = None  # what is not plain to see is not followed any further
            return None
        self._rest = _left(len(head) + int(message.headers.get("Content-Length", 0)), data)
        return head

    def _mind_trailers(self, data: bytes, new: Sequence[Read]) -> None:
        """Let a request be the final one that has trailers, or more behind its chunks.

        aiohttp as of 3.14.5 takes the last trailer for the first field of the next request.
        """
        self._end = (self._end + data[-_LONGEST_END:])[-_LONGEST_END:]
        coming = [] if self._chunks is None else [self._chunks]
        coming += [content for message, content in new if getattr(message, "chunked", False)]
        self._chunks = coming[-1] if coming and not coming[-1].is_eof() else None
        ended = [content for content in coming if content.is_eof()]
        if not ended or self.final is not None:
            return
        nothing_behind = len(coming) == 1 and (not new or new[-1][1] is ended[0])
        if not (nothing_behind and _LAST_CHUNK.search(self._end)):
            self.final = ended[0]


def _is_simple(message: Any) -> bool:
    return isinstance(message, RawRequestMessage) and not (message.chunked or message.upgrade)


def _left(expected: int, data: bytes) -> int | None:
    """Return how many bytes are yet to come, `None` if there is more than expected."""
    return expected - len(data) if len(data) <= expected else None
