"""A credential in a header field. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from multidict import CIMultiDict
from pydantic import AfterValidator, Field

from proxy.gateway.fields import HOP_BY_HOP, folded
from proxy.injection.request import OutgoingRequest
from proxy.injection.rule import FieldName, Injector, sendable

RESERVED = HOP_BY_HOP | {"content-length", "content-type", "host"}  # sidekey sets these itself


def _check_not_reserved(name: str) -> str:
    if folded(name) in RESERVED:
        raise ValueError("this field belongs to the connection or the content, not to a credential")
    return name


class Header(Injector):
    """Sets one header field, in place of every field of that name that the client sent."""

    place: Literal["header"] = Field(alias="in")
    """A header field."""
    name: Annotated[FieldName, AfterValidator(_check_not_reserved)]
    """Name of the field."""

    def strip(self, request: OutgoingRequest) -> OutgoingRequest:
        slot = folded(self.name)
        kept = [(name, value) for name, value in request.headers.items() if folded(name) != slot]
        return request.with_headers(CIMultiDict(kept))

    def values(self, request: OutgoingRequest) -> list[str]:
        slot = folded(self.name)
        return [value for name, value in request.headers.items() if folded(name) == slot]

    def apply(self, request: OutgoingRequest, value: str) -> OutgoingRequest:
        headers = request.headers.copy()
        headers[self.name] = sendable(value, "header field")
        return request.with_headers(headers)
