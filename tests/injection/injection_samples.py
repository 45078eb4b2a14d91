"""Requests and rules for the tests of injection."""

from __future__ import annotations

from multidict import CIMultiDict
from pydantic import TypeAdapter

from proxy.credentials.secret import Secret
from proxy.injection import AnyInjector, Injector, OutgoingRequest

TOKEN = Secret("s3cr/t +&=é")
PLAIN = Secret("0123456789abcdef0123456789abcdef")
RULES: TypeAdapter[Injector] = TypeAdapter(AnyInjector)


def rule(place: str, name: str | None = None, **keys: object) -> Injector:
    """Return the rule as it would come from the configuration."""
    named = {} if name is None else {"name": name}
    return RULES.validate_python({"in": place, **named, **keys})


def request(
    method: str = "GET",
    path: str = "/items",
    query: str = "",
    fields: list[tuple[str, str]] | None = None,
    content: bytes | None = None,
    base: str = "",
) -> OutgoingRequest:
    """Return a request with its content, if there is any, at hand."""
    return OutgoingRequest(
        method, base, path, query, CIMultiDict(fields or []), content is not None, content
    )


def post(content: bytes, content_type: str | None = "application/json") -> OutgoingRequest:
    """Return a POST with `content` at hand and its length stated."""
    fields = [("Content-Length", str(len(content)))]
    if content_type is not None:
        fields.append(("Content-Type", content_type))
    return request("POST", fields=fields, content=content)
