"""Recorded messages as they may be shown: without secrets, and as text."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from proxy.gateway.recorder import CONTENT_LIMIT, Copy
from proxy.observe.cover import Cover

Field = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Head:
    """A head as it was recorded: its first line, and its fields in order."""

    start: str
    fields: tuple[Field, ...]

    @classmethod
    def of(cls, head: bytes) -> Self:
        """Read a head that was proper HTTP/1.1 once."""
        start, *lines = head.decode("utf-8", "replace").removesuffix("\r\n\r\n").split("\r\n")
        named = (line.partition(":") for line in lines)
        return cls(start, tuple((name, value.strip()) for name, _, value in named))

    @property
    def method(self) -> str:
        return self.start.partition(" ")[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]

    def values(self, name: str) -> list[str]:
        """Return the values of the fields of that name."""
        return [value for known, value in self.fields if known.lower() == name.lower()]

    def value(self, name: str) -> str:
        """Return the first value of a field, empty if there is none."""
        return next(iter(self.values(name)), "")


def shown_fields(fields: Iterable[Field], cover: Cover) -> list[list[str]]:
    """Return fields whose values may be shown."""
    return [[cover.text(name), cover.field(name, value)] for name, value in fields]


def shown_content(copy: Copy | None, head: Head, cover: Cover) -> dict[str, Any]:
    """Return a recorded content as text, and what there is to say about it."""
    if copy is None:
        return {"content": None, "content_note": "not recorded"}
    if not copy.kept:
        return {"content": None, "content_note": None}
    content, note = _decoded(copy.kept, head.value("Content-Encoding"))
    is_cut = not copy.is_whole or (content is not None and len(content) > CONTENT_LIMIT)
    if is_cut:
        note = f"cut after {CONTENT_LIMIT // 1024} KiB"
    text = None if content is None else _text(content, cover, is_cut=is_cut)
    if text is None:
        return {"content": None, "content_note": note or f"{copy.length} bytes that are no text"}
    return {
        "content": _covered(text, head.value("Content-Type").lower(), cover),
        "content_note": note,
    }


def _covered(text: str, kind: str, cover: Cover) -> str:
    if "x-www-form-urlencoded" in kind:
        return cover.form(text)
    return cover.multipart(text) if kind.startswith("multipart/") else cover.json(text)


def _decoded(content: bytes, coding: str) -> tuple[bytes | None, str | None]:
    if coding.lower() in ("", "identity"):
        return content, None
    if coding.lower() in ("gzip", "deflate"):
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            return unpacking.decompress(content, CONTENT_LIMIT + 1), None  # one more tells of a cut
        except zlib.error:
            return None, f"compressed with {coding}"
    return None, f"compressed with {coding}"


def _text(content: bytes, cover: Cover, *, is_cut: bool) -> str | None:
    """Return content as text, `None` if it is none; of one that is cut, no half of a secret."""
    content = content[: min(cover.end(content), CONTENT_LIMIT)] if is_cut else content
    for end in range(len(content), max(len(content) - 4, -1), -1 if is_cut else -4):
        with suppress(UnicodeDecodeError):  # a character may have been cut, too
            text = content[:end].decode()
            return None if "\0" in text else text
    return None
