"""A credential in the query. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from proxy.injection import urlencoded
from proxy.injection.request import OutgoingRequest
from proxy.injection.rule import Injector, Name


class Query(Injector):
    """Appends one parameter, in place of every parameter of that name that the client sent."""

    place: Literal["query"] = Field(alias="in")
    """A parameter of the query."""
    name: Name
    """Name of the parameter."""

    def strip(self, request: OutgoingRequest) -> OutgoingRequest:
        return replace(request, query=urlencoded.without(request.query, self.name))

    def values(self, request: OutgoingRequest) -> list[str]:
        return urlencoded.values(request.query, self.name)

    def apply(self, request: OutgoingRequest, value: str) -> OutgoingRequest:
        separator = "&" if request.query else ""
        query = request.query + separator + urlencoded.pair(self.name, value)
        return replace(request, query=query)
