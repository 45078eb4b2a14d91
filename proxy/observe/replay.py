"""Sends a recorded request again, to the place that it came to, as any client would."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from proxy.gateway.recorder import Record, Recorder
from proxy.observe.inspection import why_not_replayable
from proxy.observe.messages import Field, Head
from proxy.observe.trail import Step, Trail
from proxy.refusals import NotAllowed

PATIENCE = 60.0  # seconds
PIECE = 64 * 1024  # bytes
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
_FRAMING = frozenset({"connection", "content-length", "expect", "keep-alive", "transfer-encoding"})


class Replay:
    """Sends requests again; an answer that goes on for long is cut off."""

    def __init__(self, trail: Trail, recorder: Recorder) -> None:
        self._trail = trail
        self._recorder = recorder

    async def send(self, step: Step) -> dict[str, object]:
        """Send what was recorded; return the status, and the id of the new request.

        Raises `NotAllowed` for what cannot be sent again.
        """
        record = self._recorder.get(step.fact.request_id)
        why_not = why_not_replayable(step, record)
        if record is None or why_not is not None:
            raise NotAllowed(f"this request cannot be sent again: {why_not}")
        before = self._trail.count
        sent = message(record)
        try:
            status = await _exchanged(record.place, sent)
        except OSError:
            raise NotAllowed("this request cannot be sent again: nobody listens there") from None
        return {"id": self._id_of(sent, before), "status": status}

    def _id_of(self, sent: bytes, before: int) -> str | None:
        for step in self._trail.since(before):
            record = self._recorder.get(step.fact.request_id)
            if record is not None and record.request and sent.startswith(record.request):
                return step.fact.request_id
        return None


def message(record: Record) -> bytes:
    """Return the request as it is sent again: for a connection of its own, and framed anew."""
    head = Head.of(record.request)
    content = b"" if record.content is None or not record.has_content else record.content.kept
    fields: list[Field] = [
        (name, value) for name, value in head.fields if name.lower() not in _FRAMING
    ]
    fields.append(("Connection", "close"))
    if record.has_content:
        fields.append(("Content-Length", str(len(content))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{head.start}\r\n{lines}\r\n".encode() + content


async def _exchanged(place: object, sent: bytes) -> int | None:
    """Return the status of the answer, which is read and dropped; `None` if none came in time."""
    if isinstance(place, str):
        reader, writer = await asyncio.open_unix_connection(place)
    else:
        assert isinstance(place, tuple)
        reader, writer = await asyncio.open_connection(place[0], place[1])
    found = None
    try:
        writer.write(sent)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                found = _STATUS.match(await reader.readline())
                while await reader.read(PIECE):
                    pass
    finally:
        writer.close()
    return int(found[1]) if found else None
