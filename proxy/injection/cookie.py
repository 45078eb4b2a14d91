"""A credential in a cookie. Pure."""

from __future__ import annotations

from typing import Literal

from multidict import CIMultiDict
from pydantic import Field

from proxy.injection.request import OutgoingRequest
from proxy.injection.rule import FieldName, Injector, sendable


class Cookie(Injector):
    """Sets one cookie, in place of every cookie of that name that the client sent.

    Other cookies that are left in the request stay, in one field: RFC 6265 5.4 allows no second.
    """

    place: Literal["cookie"] = Field(alias="in")
    """A cookie."""
    name: FieldName
    """Name of the cookie."""

    def strip(self, request: OutgoingRequest) -> OutgoingRequest:
        pairs = _pairs(request.headers.getall("Cookie", []))
        kept = [pair for pair in pairs if _name(pair) != self.name]
        if kept == pairs:
            return request
        return request.with_headers(_with_cookies(request.headers, kept))

    def values(self, request: OutgoingRequest) -> list[str]:
        pairs = _pairs(request.headers.getall("Cookie", []))
        return [pair.partition("=")[2] for pair in pairs if _name(pair) == self.name]

    def apply(self, request: OutgoingRequest, value: str) -> OutgoingRequest:
        own = f"{self.name}={sendable(value, 'cookie', excluded=';')}"
        fields = [field for field in request.headers.getall("Cookie", []) if field.strip()]
        return request.with_headers(_with_cookies(request.headers, [*fields, own]))


def _pairs(fields: list[str]) -> list[str]:
    return [pair.strip() for field in fields for pair in field.split(";") if pair.strip()]


def _name(pair: str) -> str:
    return pair.partition("=")[0].strip()


def _with_cookies(headers: CIMultiDict[str], pairs: list[str]) -> CIMultiDict[str]:
    headers = headers.copy()
    headers.popall("Cookie", None)
    if pairs:
        headers["Cookie"] = "; ".join(pairs)
    return headers
