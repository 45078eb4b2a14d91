"""A credential in the path. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field

from proxy.injection.request import OutgoingRequest
from proxy.injection.rule import PLACEHOLDER, Injector, check_text, sendable, unsendable

_SEGMENT_SAFE = "!$&'()*+,;=:@"  # RFC 3986 3.3, pchar: Telegram's bot tokens hold a raw colon


def _check_segment(format_: str) -> str:
    if "/" in format_ or not format_.strip("."):
        raise ValueError("the format of a path rule is one segment: no / and not only dots")
    return check_text(format_)


class Path(Injector):
    """Puts one segment in front of the client's path: `/getMe` becomes `/bot123:abc/getMe`.

    There is nothing to strip: a segment has no name that would tell the client's own from a path.
    """

    place: Literal["path"] = Field(alias="in")
    """One segment in front of the client's path."""
    format: Annotated[str, AfterValidator(_check_segment)] = Field(default=PLACEHOLDER, repr=False)
    """The segment, with `{token}` replaced."""

    def apply(self, request: OutgoingRequest, value: str) -> OutgoingRequest:
        if not value.strip("."):  # dots alone would climb out of the base URL
            raise unsendable("path segment")
        segment = quote(sendable(value, "path segment", excluded="/"), safe=_SEGMENT_SAFE)
        return replace(request, path=f"/{segment}{request.path}")
