"""What a request says before its content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aiohttp import HttpVersion, HttpVersion11
from multidict import CIMultiDictProxy


class Head(Protocol):
    """The head of a request: that of a `web.BaseRequest`, or of one that nobody sends."""

    @property
    def method(self) -> str:
        """The method, as it came."""

    @property
    def raw_path(self) -> str:
        """The target, as it came."""

    @property
    def version(self) -> HttpVersion:
        """The version of HTTP."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The fields."""


@dataclass(frozen=True, slots=True)
class UnsentHead:
    """The head of a request that nobody sends."""

    method: str
    raw_path: str
    headers: CIMultiDictProxy[str]
    version: HttpVersion = HttpVersion11

    @property
    def content_length(self) -> int | None:
        """How many bytes of content it announces, as `web.BaseRequest` tells it."""
        length = self.headers.get("Content-Length")
        return int(length) if length is not None else None

    @property
    def body_exists(self) -> bool:
        """Whether content follows; one that is typed and not empty is on its way."""
        if "Content-Length" in self.headers:
            return self.content_length != 0
        return "Transfer-Encoding" in self.headers or "Content-Type" in self.headers
