"""One part put into multipart/form-data while it streams. Pure.

Source: RFC 2046 5.1.1 (the grammar), RFC 7578 (form-data).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from proxy.injection.media import names, parameters
from proxy.refusals import ContentNotInjectable

HEAD_LIMIT = 16 * 1024  # bytes of one delimiter line with the part's header fields
VALUE_LIMIT = 4 * 1024  # bytes of a dropped part that is remembered
# A token, or quoted: of anything else werkzeug reads only the beginning.
_BOUNDARY = re.compile(
    r"""
    ;[ \t]*boundary=
    (?: ([0-9A-Za-z'+_.-]{1,70}) | "([0-9A-Za-z'()+_,./:=?\ -]{0,69}[0-9A-Za-z'()+_,./:=?-])" )
    [ \t]*(?=;|$)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_DELIMITER_END = re.compile(rb"--[ \t]*[\r\n]|[ \t]*\r\n")
_DELIMITER_UNFINISHED = re.compile(rb"-|--[ \t]*|[ \t]*\r?")
_BARE_BREAK = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_FOLDED_LINE = re.compile(rb"\r\n[ \t]+")
_CONTINUED_NAME = re.compile(r"name\*\d.*")


def boundary_of(content_type: str) -> str:
    """Return the boundary parameter; raise `ContentNotInjectable` if there is no usable one.

    Nor if the word stands there twice: of `boundary*`, `boundary*0` (RFC 2231), `boundaryx` and a
    second `boundary`, some server prefers each.
    """
    found = _BOUNDARY.search(content_type)
    if (
        not found
        or "boundary" in (content_type[: found.start()] + content_type[found.end() :]).lower()
    ):
        raise ContentNotInjectable(
            "the Content-Type multipart/form-data has no valid boundary parameter, or two",
            fix="let the client library set Content-Type itself",
        )
    return found[1] or found[2]


def fields_of(content: bytes, boundary: str, name: str) -> list[str]:
    """Return the values of the parts called `name` that the beginning `content` holds whole."""
    reading = MultipartFilter(boundary, name, "")
    try:
        reading.feed(content)
    except ContentNotInjectable:
        return []
    return [value.decode(errors="replace").removeprefix("\r\n") for value in reading.dropped]


class MultipartFilter:
    """Puts our part before all others and drops every part of the same name.

    First and only, because Misskey up to 2025.11.1 does not see a credential that arrives after
    the file, nor one that stands there twice. Preamble and epilogue are dropped, and lines that
    only look like a delimiter are refused: werkzeug and Python's email parser find parts in them.
    All other bytes pass as they are. Needs memory for one chunk and `HEAD_LIMIT` more; time is
    linear in the size of the content.
    """

    def __init__(self, boundary: str, name: str, value: str) -> None:
        self._name = name
        self._delimiter = b"\r\n--" + boundary.encode()
        disposition = f'\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
        self._own_part = self._delimiter[2:] + disposition.encode()
        # The first delimiter may stand at the very start; a line break before it makes it look
        # like the others.
        self._buffer = bytearray(b"\r\n")
        self._passing = False
        self.dropped: list[bytes] = []
        self._searched = 0
        self._step: Callable[[bytearray], bool] = self._content

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes, return what is ready to go.

        Raises `ContentNotInjectable` if the header fields of a part are over `HEAD_LIMIT`, or if
        servers may read something in different ways.
        """
        self._buffer += chunk
        ready = bytearray()
        while self._step(ready):
            pass
        return bytes(ready)

    def finish(self) -> bytes:
        """Return the rest; raise `ContentNotInjectable` if the final boundary never came."""
        rest = self.feed(b"\r\n")  # the last line may do without
        if self._step != self._epilogue:
            raise ContentNotInjectable(
                "the multipart content ends without its final boundary",
                fix="compare the boundary in Content-Type with the one in the content",
            )
        return rest

    # Each step returns whether it made way for another; if not, it waits for more bytes.

    def _content(self, ready: bytearray) -> bool:
        """The preamble or the content of a part, up to what looks like a delimiter."""
        found = self._delimiter_at()
        if found < 0:
            self._take(len(self._buffer) - len(self._delimiter) + 1, ready)
            return False
        if not self._passing and not self._own_part and found <= VALUE_LIMIT:
            self.dropped.append(bytes(self._buffer[:found]))
        self._take(found, ready)
        self._step = self._delimiter_end
        return True

    def _delimiter_at(self) -> int:
        """Return where the next delimiter begins, -1 if it does not."""
        found = self._buffer.find(self._delimiter[1:])
        bare = self._buffer.find(b"\r" + self._delimiter[2:], 0, None if found < 0 else found)
        if bare >= 0 or (found >= 0 and self._buffer[found - 1 : found] != b"\r"):
            raise _ambiguous("a line break before a boundary is not CRLF")
        return max(found - 1, -1)

    def _delimiter_end(self, ready: bytearray) -> bool:
        """What follows `--boundary`: a line break, or `--`."""
        start = len(self._delimiter)
        end = _DELIMITER_END.match(self._buffer, start)
        if end is None and _DELIMITER_UNFINISHED.fullmatch(self._buffer, start):
            self._check_head(len(self._buffer))
            return False
        if end is None:
            raise _ambiguous("a line begins with the boundary and goes on")
        if end.group().startswith(b"--"):
            self._begin_part(ready, passing=False)
            ready += self._delimiter + b"--\r\n"
            self._step = self._epilogue
        else:
            self._searched = start
            self._step = self._head
        return True

    def _head(self, ready: bytearray) -> bool:
        """The delimiter line and the part's header fields, up to the empty line."""
        end = self._buffer.find(b"\r\n\r\n", self._searched)
        self._check_head(len(self._buffer) if end < 0 else end)
        if end < 0:
            self._searched = max(self._searched, len(self._buffer) - 3)
            return False
        fields = bytes(self._buffer[len(self._delimiter) : end])
        if _BARE_BREAK.search(fields) or self._delimiter in fields:
            raise _ambiguous("the header fields of a part have other lines than fields")
        self._begin_part(ready, passing=not _is_called(fields, self._name))
        # The empty line's own line break may already belong to the next delimiter.
        self._take(end + 2, ready)
        self._step = self._content
        return True

    def _epilogue(self, ready: bytearray) -> bool:
        """What follows the final boundary."""
        self._buffer.clear()
        return False

    def _begin_part(self, ready: bytearray, *, passing: bool) -> None:
        ready += self._own_part
        self._own_part = b""  # only before the first
        self._passing = passing

    def _check_head(self, size: int) -> None:
        if size > HEAD_LIMIT:
            raise ContentNotInjectable(
                f"the header fields of a part are over {HEAD_LIMIT} bytes",
                fix="send shorter header fields in the parts of the multipart content",
            )

    def _take(self, size: int, ready: bytearray) -> None:
        if size <= 0:
            return
        if self._passing:
            ready += memoryview(self._buffer)[:size]
        del self._buffer[:size]


def _ambiguous(what: str) -> ContentNotInjectable:
    return ContentNotInjectable(
        f"{what}, so servers read the multipart content in different ways",
        fix="let the client library write the content",
    )


def _is_called(fields: bytes, name: str) -> bool:
    """Tell whether a part's header fields give it `name`, in any spelling that a server may read.

    `name*` (RFC 8187) is not allowed in form-data (RFC 7578 4.2), but busboy and others read it;
    PHP takes single quotes, and does without the last one.
    """
    for line in _FOLDED_LINE.sub(b" ", fields).splitlines():
        key, _, value = line.decode(errors="replace").partition(":")
        if key.strip().lower() != "content-disposition":
            continue
        if any(map(_CONTINUED_NAME.fullmatch, names(value))):
            raise _ambiguous("the name of a part comes in pieces (RFC 2231)")
        plain = [text.strip("\"' ") for text in parameters(value, "name")]
        extended = [unquote(text.split("'", 2)[-1]) for text in parameters(value, "name*")]
        if name in plain + extended:
            return True
    return False
