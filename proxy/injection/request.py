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
    """

    method: str
    base: str
    path: str
    query: str
    headers: CIMultiDict[str]
    has_content: bool = False
    content: bytes | None = None
    filters: tuple[Callable[[], ContentFilter], ...] = field(default=())

    @property
    def full_path(self) -> str:
        """The path at the upstream: what `paths` of rules are compared with."""
        return self.base + self.path

    @property
    def media_type(self) -> str:
        """The media type of the content in lower case, without parameters, or an empty text."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def with_headers(self, headers: CIMultiDict[str]) -> Self:
        return replace(self, headers=headers)

    def with_content(self, content: bytes) -> Self:
        return replace(self, content=content, has_content=True)
