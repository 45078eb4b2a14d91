"""What is kept of one request of the ordinary lane."""

from __future__ import annotations

from aiohttp import web

from proxy.gateway.recorder import Copy, Record
from proxy.gateway.server import head_as_sent


def record_of(
    request: web.BaseRequest,
    answer: bytes = b"",
    content: Copy | None = None,
    answered: Copy | None = None,
) -> Record:
    """Return what is kept of a request; `answer` is the head as far as the client got it."""
    transport = request.transport
    place = None if transport is None else transport.get_extra_info("sockname")
    return Record(head_as_sent(request), answer, place, request.body_exists, content, answered)
