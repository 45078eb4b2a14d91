"""A push parser of multipart/form-data (RFC 7578) that never waits.

The sandbox needs to know what has arrived and what has not: a real server takes only those fields
that are there when the file is complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message


@dataclass(frozen=True, slots=True)
class PartBegin:
    """The header of a part is complete."""

    name: str
    filename: str | None
    content_type: str

    @property
    def is_file(self) -> bool:
        """Whether busboy, the parser of real servers, takes this part for a file."""
        return self.filename is not None or self.content_type == "application/octet-stream"


@dataclass(frozen=True, slots=True)
class PartBytes:
    """A piece of the current part's content."""

    content: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The boundary after the current part has arrived."""


Piece = PartBegin | PartBytes | PartEnd


class MultipartParser:
    """Turns chunks into pieces of parts; preamble and epilogue are skipped."""

    def __init__(self, content_type: str) -> None:
        """Raises ValueError if `content_type` has no boundary."""
        boundary = _parameters("Content-Type", content_type).get_param("boundary")
        if not isinstance(boundary, str) or not boundary:
            raise ValueError("multipart without a boundary")
        self._delimiter = b"\r\n--" + boundary.encode("latin-1")
        self._buffer = b"\r\n"  # so that a boundary on the very first line is found as well
        self._step = self._skip_preamble

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The pieces that are complete with this chunk."""
        self._buffer += chunk
        while True:
            step = self._step
            pieces = list(step())
            yield from pieces
            if not pieces and step == self._step:
                return

    def _skip_preamble(self) -> Iterator[Piece]:
        found = self._buffer.find(self._delimiter)
        if found >= 0:
            self._buffer = self._buffer[found + len(self._delimiter) :]
            self._step = self._read_delimiter_line
        else:
            self._buffer = self._buffer[-len(self._delimiter) :]
        yield from ()

    def _read_delimiter_line(self) -> Iterator[Piece]:
        if self._buffer.startswith(b"--"):
            self._step = self._skip_epilogue
        elif (end := self._buffer.find(b"\r\n")) >= 0:
            self._buffer = self._buffer[end:]
            self._step = self._read_header
        yield from ()

    def _read_header(self) -> Iterator[Piece]:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        yield _part_begin(self._buffer[:end].decode(errors="replace"))
        self._buffer = self._buffer[end + 4 :]
        self._step = self._read_content

    def _read_content(self) -> Iterator[Piece]:
        found = self._buffer.find(self._delimiter)
        if found < 0:
            content = self._buffer[: 1 - len(self._delimiter)]
            if content:
                self._buffer = self._buffer[len(content) :]
                yield PartBytes(content)
            return
        if found:
            yield PartBytes(self._buffer[:found])
        yield PartEnd()
        self._buffer = self._buffer[found + len(self._delimiter) :]
        self._step = self._read_delimiter_line

    def _skip_epilogue(self) -> Iterator[Piece]:
        self._buffer = b""
        yield from ()


def _part_begin(header: str) -> PartBegin:
    fields: dict[str, str] = {}
    for line in header.split("\r\n"):
        field, _, value = line.partition(":")
        fields[field.strip().lower()] = value.strip()
    disposition = _parameters("Content-Disposition", fields.get("content-disposition", ""))
    name = disposition.get_param("name", "", header="Content-Disposition")
    filename = disposition.get_filename()
    content_type = fields.get("content-type", "text/plain").partition(";")[0].strip().lower()
    return PartBegin(str(name), filename, content_type)


def _parameters(field: str, value: str) -> Message:
    message = Message()
    message[field] = value
    return message
