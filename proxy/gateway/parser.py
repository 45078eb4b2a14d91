"""aiohttp's parser of requests, held to our limits, and what its refusals mean in our words."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any

from aiohttp import http_exceptions
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from proxy.errors import ListenError, SidekeyError
from proxy.gateway.framing import head_of
from proxy.refusals import BadMessage, TargetTooLong

HEAD_LIMIT = 64 * 1024  # bytes of request line and fields together
FIELDS_LIMIT = 128
LINE_LIMIT = 32 * 1024  # bytes of a request target
FIELD_LIMIT = LINE_LIMIT - 1  # bytes; aiohttp's error tells by the limit whether it was the line
# Requests read ahead of the one under way. With aiohttp's 32, a connection holds 5 MB of heads;
# with 1, reading would stop and start again for every request.
QUEUE_LIMIT = 2
TOO_MANY_FIELDS = "Too many headers received"  # aiohttp's words: it has no class for this

# llhttp reads these as well, and aiohttp does not ask which it was. In one piece, as a request line
# comes: one in drips is taken for HTTP/1.0, and has to have a Host all the same.
OTHER_PROTOCOL = re.compile(rb" (?:RTSP|ICE)/\d\.\d\r?\n")

Parsed = tuple[list[tuple[RawRequestMessage, StreamReader]], bool, bytes]


class HeadTooLong(http_exceptions.BadHttpMessage):
    """The head as a whole is over `HEAD_LIMIT`."""


class RequestParser(HttpRequestParser):
    """Counts the bytes of each head: aiohttp limits single fields, and their number.

    A head that begins in the middle of what is read at once, behind another request, is counted
    from the next reading on.
    """

    head_size = 0  # bytes of a head that is not complete yet
    content: StreamReader = EMPTY_PAYLOAD  # of the last request

    def __init__(
        self, protocol: BaseProtocol, loop: asyncio.AbstractEventLoop, **settings: Any
    ) -> None:
        super().__init__(protocol, loop, **settings)
        self._loop = loop
        self._queued: deque[StreamReader] = deque()  # the contents of requests

    def message_consumed(self) -> None:
        """Count one request less, when its content has ended.

        aiohttp as of 3.14.5 counts a request from the end of its content on. One that is consumed
        before is counted for ever, and what is pipelined behind a later one waits for ever.
        """
        consumed = super().message_consumed

        def consumed_soon() -> None:
            self._loop.call_soon(consumed)  # it counts after it has told of the end

        content = self._queued.popleft() if self._queued else EMPTY_PAYLOAD  # of a refused one
        if content.is_eof():
            consumed()
        else:
            content.on_eof(consumed_soon)

    def feed_data(self, data: bytes, *args: Any, **kwargs: Any) -> Parsed:
        """Return the requests whose heads `data` completes; raise `BadHttpMessage`."""
        if not self.content.is_eof():
            return self._parsed(data)
        room = HEAD_LIMIT - self.head_size
        self.head_size += len(data)
        messages, upgraded, tail = self._parsed(data[:room])
        _check_protocol(data[:room], len(messages))
        rest = data[room:]
        if not rest:
            return messages, upgraded, tail
        if self.head_size:
            raise HeadTooLong("the head is too long")
        if upgraded:
            return messages, upgraded, tail + rest
        are_heads = self.content.is_eof()
        more, upgraded, tail = self._parsed(rest)
        if are_heads:
            _check_protocol(rest, len(more))
        return [*messages, *more], upgraded, tail

    def _parsed(self, data: bytes) -> Parsed:
        messages, upgraded, tail = super().feed_data(data)
        if not messages:
            return messages, upgraded, tail
        self.head_size = 0
        self.content = messages[-1][1]
        self._queued.extend(content for _, content in messages)
        if messages[-1][0].upgrade and not upgraded:
            # To a protocol that aiohttp does not know: what it has read behind that, it forgets.
            message, content = messages[-1]
            messages = [*messages[:-1], (message._replace(should_close=True), content)]
        return messages, upgraded, tail


def _check_protocol(data: bytes, messages: int) -> None:
    """Look at the one head that begins there, or at all of it: content may speak of anything."""
    head = head_of(data) if messages == 1 else None
    if OTHER_PROTOCOL.search(data if head is None else head):
        raise http_exceptions.BadHttpMessage("another protocol than HTTP")


def request_parser(protocol: BaseProtocol, **settings: Any) -> RequestParser:
    """Return the parser of a client's connection."""
    return RequestParser(
        protocol,
        max_line_size=LINE_LIMIT,
        max_field_size=FIELD_LIMIT,
        max_headers=FIELDS_LIMIT,
        auto_decompress=False,
        **settings,
    )


def refusal_of(error: BaseException | None) -> SidekeyError:
    """Return our own error for what the parser has raised, in words that repeat nothing of it."""
    if isinstance(error, http_exceptions.LineTooLong) and LINE_LIMIT in error.args:
        return TargetTooLong(
            f"the target is longer than {LINE_LIMIT} bytes", fix="send less in the URL"
        )
    if isinstance(error, http_exceptions.LineTooLong):
        return BadMessage(f"a header field is longer than {FIELD_LIMIT} bytes", status=431)
    if isinstance(error, HeadTooLong):
        return BadMessage(f"the head is longer than {HEAD_LIMIT} bytes", status=431)
    if isinstance(error, http_exceptions.BadHttpMessage) and error.message == TOO_MANY_FIELDS:
        return BadMessage(f"the head has more than {FIELDS_LIMIT} fields", status=431)
    return BadMessage("the message is no proper HTTP/1.1")


def check_parser() -> None:
    """Raise `ListenError` where aiohttp runs without its compiled parser (llhttp).

    The one in pure Python takes messages that the other refuses, unknown methods among them.
    """
    if HttpRequestParser.__module__ != "aiohttp._http_parser":
        raise ListenError(
            "aiohttp's compiled HTTP parser is missing, and the other one is too lenient",
            fix="install aiohttp from a wheel, and unset AIOHTTP_NO_EXTENSIONS",
        )
