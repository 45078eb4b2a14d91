"""The request that goes to the upstream, while credentials are put into it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from multidict import CIMultiDict


class ContentFilter(Protocol):
    """Changes content while it streams."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the client's content, return what is ready to go."""

    def finish(self) -> bytes:
        """Return the rest; raise `ContentNotInjectable` if the credential found no place."""


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """What will be sent; every change returns a new one.

    `base` is the path of the upstream's base URL ("" or "/v1"), `path` what follows it.
    Both and `query` are raw (still percent-encoded); `query` is without `?`.
    `content` is the whole content where it is at hand, `None` where it streams or is absent;
    `has_content` tells the two apart. `filters` work on the content while it streams.
    Every part that may hold a credential stays out of its `repr`.
    """

    method: str
    base: str
    path: str = field(repr=False)
    query: str = field(repr=False)
    headers: CIMultiDict[str] = field(repr=False)
    has_content: bool = False
    content: bytes | None = field(default=None, repr=False)
    filters: tuple[Callable[[], ContentFilter], ...] = field(default=(), repr=False)

    @property
    def full_path(self) -> str:
        """The path at the upstream: what `paths` of rules are compared with."""
        return self.base + self.path

    @property
    def media_type(self) -> str:
        """The media type of the content in lower case, without parameters, or an empty text."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def with_headers(self, headers: CIMultiDict[str]) -> Self:
        """Return the request with all of its header fields replaced."""
        return replace(self, headers=headers)

    def with_content(self, content: bytes, *, media_type: str | None = None) -> Self:
        """Return the request with other content at hand; the sender counts its length anew."""
        headers = self.headers.copy()
        headers.popall("Content-Length", None)
        if media_type is not None:
            headers["Content-Type"] = media_type
        return replace(self, headers=headers, content=content, has_content=True)

    def with_filter(self, content_filter: Callable[[], ContentFilter]) -> Self:
        """Return the request with one more filter; the length of the content is then unknown."""
        headers = self.headers.copy()
        headers.popall("Content-Length", None)
        return replace(self, headers=headers, filters=(*self.filters, content_filter))
