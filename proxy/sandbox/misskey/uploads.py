"""Reading `drive/files/create`: the file as it streams in, and the fields that came with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from proxy.sandbox.misskey.arrivals import Arrival
from proxy.sandbox.misskey.drive import Upload
from proxy.sandbox.misskey.errors import FastifyError
from proxy.sandbox.misskey.multipart import MultipartParser, PartBegin, PartBytes, PartEnd, Piece

_PATIENCE = 0.1
"""Seconds without a byte after the file, when a real server has long gone on without the rest.

Recorded: fields that arrive with the end of the file count, those 400 ms later do not.
"""


@dataclass(slots=True)
class Form:
    """The first file and the fields; a field that came twice has no value."""

    upload: Upload | None = None
    complete: bool = False
    fields: dict[str, object] = field(default_factory=dict)

    def params(self) -> dict[str, object]:
        """The fields as parameters."""
        return {name: value for name, value in self.fields.items() if value is not None}

    def discard(self) -> None:
        """Give up what was received of the file."""
        if self.upload is not None:
            self.upload.content.close()


async def read_form(arrival: Arrival) -> Form | None:
    """Read until the file and what came with it is there; None if there is no file.

    Raises:
        FastifyError: 500, the body ended in the middle of the file.
    """
    try:
        parser = MultipartParser(arrival.request.headers.get("Content-Type", ""))
    except ValueError:
        return None
    form = Form()
    try:
        await _fill(form, arrival, parser)
    except BaseException:  # above all the cancellation when the client leaves half-way
        form.discard()
        raise
    return form if form.upload is not None else None


async def _fill(form: Form, arrival: Arrival, parser: MultipartParser) -> None:
    part = _Part()
    async for chunk in _chunks(arrival, form):
        for piece in parser.feed(chunk):
            part.take(piece, form)
    if form.upload is not None and not form.complete:
        raise FastifyError(500, "Part terminated early due to unexpected end of multipart data")


async def _chunks(arrival: Arrival, form: Form) -> AsyncIterator[bytes]:
    """The body; once the file is complete, only what is there already."""
    chunks = arrival.chunks()
    while True:
        try:
            async with asyncio.timeout(_PATIENCE if form.complete else None):
                chunk = await anext(chunks)
        except (StopAsyncIteration, TimeoutError):
            return
        yield chunk


@dataclass(slots=True)
class _Part:
    """The part that is being read."""

    begin: PartBegin | None = None
    value: bytearray = field(default_factory=bytearray)

    def take(self, piece: Piece, form: Form) -> None:
        match piece:
            case PartBegin():
                self.begin, self.value = piece, bytearray()
                if piece.is_file and form.upload is None:
                    form.upload = Upload(piece.filename)
            case PartBytes(content=content):
                self._take_content(content, form)
            case PartEnd():
                self._end(form)

    def _take_content(self, content: bytes, form: Form) -> None:
        if self.begin is None or not self.begin.is_file:
            self.value += content
        elif form.upload is not None and not form.complete:
            form.upload.write(content)

    def _end(self, form: Form) -> None:
        if self.begin is None:
            return
        if self.begin.is_file:
            form.complete = True
            return
        value = _field_value(self.begin, bytes(self.value))
        form.fields[self.begin.name] = None if self.begin.name in form.fields else value


def _field_value(part: PartBegin, value: bytes) -> object:
    """A field's text; a part that claims to be JSON is parsed, and dropped if it is none."""
    text = value.decode(errors="replace")
    if part.content_type != "application/json":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return None
