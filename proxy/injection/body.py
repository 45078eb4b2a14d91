"""A credential in the content: chooses the form after the request's media type. Pure."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field

from proxy.injection import urlencoded
from proxy.injection.form import with_field
from proxy.injection.json_object import member, with_member
from proxy.injection.media import parameters
from proxy.injection.multipart import MultipartFilter, boundary_of, fields_of
from proxy.injection.request import OutgoingRequest
from proxy.injection.rule import Injector, Name, sendable
from proxy.refusals import ContentTooLarge, ContentTypeNotInjectable

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
CONTENTLESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # their content means nothing
_FIX = f"send {JSON}, {FORM} or {MULTIPART}, or give this path a header or query rule"


class Body(Injector):
    """Puts one member into a JSON object, or one field into a form, in place of the client's own.

    `max_size` (bytes, inclusive) limits what has to be at hand as a whole: JSON and urlencoded
    forms. Multipart streams. A request without content gets a JSON object of its own: Misskey
    refuses an empty POST, whatever its header fields say.
    """

    place: Literal["body"] = Field(alias="in")
    """A member of JSON content, or a field of a form."""
    name: Name
    """Name of the member or field."""
    max_size: int = Field(default=2**20, gt=0)
    """Bytes of JSON or of an urlencoded form that may come; multipart streams."""

    def fits(self, request: OutgoingRequest) -> bool:
        return request.method not in CONTENTLESS

    def values(self, request: OutgoingRequest) -> list[str]:
        """Return what the client sent under that name in content that is at hand.

        Of multipart content the beginning is enough.
        """
        if request.content is None:
            return []
        if request.media_type == MULTIPART:
            return fields_of(
                request.content, boundary_of(request.headers["Content-Type"]), self.name
            )
        if request.media_type == FORM:
            return urlencoded.values(request.content.decode("latin-1"), self.name)
        return member(request.content, self.name) if _is_json(request.media_type) else []

    def may_replace(self, request: OutgoingRequest) -> bool:
        """Tell whether the content of `request` could hold the client's own value."""
        kinds = request.media_type in (FORM, MULTIPART) or _is_json(request.media_type)
        return kinds and request.has_content and self.fits(request) and self.covers(request)

    def needs_content(self, request: OutgoingRequest) -> int | None:
        """Return how many bytes must be at hand for `apply`; `None` if none, or it can stream."""
        if not (request.has_content and self.fits(request) and self.covers(request)):
            return None
        whole = _is_json(request.media_type) or request.media_type == FORM
        return self.max_size if whole else None

    def apply(self, request: OutgoingRequest, value: str) -> OutgoingRequest:
        """Return `request` with `value` in its content.

        Raises `ContentTypeNotInjectable` (415), `ContentNotInjectable` (400), `ContentTooLarge`
        (413), and `ValueError` if content that `needs_content` asked for is not at hand.
        """
        _refuse_coded(request)
        if not request.has_content or request.content == b"":
            return request.with_content(with_member(b"{}", self.name, value), media_type=JSON)
        if request.media_type == MULTIPART:
            return self._apply_to_multipart(request, value)
        if request.media_type == FORM:
            return request.with_content(with_field(self._whole(request), self.name, value))
        if _is_json(request.media_type):
            _refuse_other_charsets(request)
            return request.with_content(with_member(self._whole(request), self.name, value))
        kind = f"content of type {request.media_type}" if request.media_type else "untyped content"
        raise ContentTypeNotInjectable(f"{kind} has no place for the credential", fix=_FIX)

    def _apply_to_multipart(self, request: OutgoingRequest, value: str) -> OutgoingRequest:
        boundary = boundary_of(request.headers["Content-Type"])
        content_filter = partial(
            MultipartFilter, boundary, self.name, sendable(value, "multipart field")
        )
        if request.content is None:
            return request.with_filter(content_filter)
        parts = content_filter()
        return request.with_content(parts.feed(request.content) + parts.finish())

    def _whole(self, request: OutgoingRequest) -> bytes:
        if request.content is None:
            raise ValueError("the content must be at hand: see needs_content")
        if len(request.content) > self.max_size:
            raise ContentTooLarge(
                f"the content is over {self.max_size} bytes and must take the credential in",
                fix="raise max_size of the body rule, or give this path a header rule",
            )
        return request.content


def _is_json(media_type: str) -> bool:
    return media_type == JSON or media_type.endswith("+json")


def _refuse_coded(request: OutgoingRequest) -> None:
    codings = ",".join(request.headers.getall("Content-Encoding", [])).split(",")
    if any(coding.strip().lower() not in ("", "identity") for coding in codings):
        raise ContentTypeNotInjectable(
            "content with a Content-Encoding has no place for the credential",
            fix="send the content uncompressed, or give this path a header or query rule",
        )


def _refuse_other_charsets(request: OutgoingRequest) -> None:
    charsets = parameters(request.headers["Content-Type"], "charset")
    if any(charset.lower() not in ("utf-8", "utf8") for charset in charsets):
        raise ContentTypeNotInjectable(
            "JSON in another charset than UTF-8 has no place for the credential",
            fix="send JSON in UTF-8",
        )
