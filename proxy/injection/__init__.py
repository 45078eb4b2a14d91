"""Where a credential goes: one file a place; here their registry and what forwarding calls. Pure.

The order is: `strip_credentials` before the token is had, `content_limit` to know how much content
to gather, `inject` last, so that nothing of the client's can undo it. For a replay, `inject` works
again on the request that was stripped, not on the one that was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from proxy.credentials.secret import Secret
from proxy.injection.body import Body
from proxy.injection.cookie import Cookie
from proxy.injection.header import Header
from proxy.injection.path import Path
from proxy.injection.query import Query
from proxy.injection.request import ContentFilter, OutgoingRequest
from proxy.injection.rule import Injector
from proxy.refusals import ContentNotInjectable

AnyInjector = Annotated[Header | Query | Body | Cookie | Path, Field(discriminator="place")]


def strip_credentials(request: OutgoingRequest, rules: Sequence[Injector]) -> OutgoingRequest:
    """Return `request` without what the client sent in the place of any rule, on every path.

    Members and fields of content stay until `inject` replaces them.
    """
    for rule in rules:
        request = rule.strip(request)
    return request


def client_values(request: OutgoingRequest, rules: Sequence[Injector]) -> list[str]:
    """Return what the client sent where a token goes, on any path, as far as it is at hand."""
    return [value for rule in rules if rule.uses_token for value in rule.values(request)]


def needs_token(request: OutgoingRequest, rules: Sequence[Injector]) -> bool:
    """Tell whether `inject` takes a token for the path of `request`."""
    return any(rule.uses_token and rule.covers(request) for rule in rules)


def content_limit(request: OutgoingRequest, rules: Sequence[Injector]) -> int | None:
    """Return how many bytes of content may come, all of which must be at hand for `inject`.

    `None`: the content may stream.
    """
    limits = [rule.needs_content(request) for rule in rules if isinstance(rule, Body)]
    return min((limit for limit in limits if limit is not None), default=None)


def inject(
    request: OutgoingRequest, rules: Sequence[Injector], token: Secret | None
) -> OutgoingRequest:
    """Return the stripped `request` with every rule applied, in order, that covers its path.

    Where content changes at hand or gets a filter, Content-Length is dropped. Never lets a request
    go without its token: raises `ContentNotInjectable` if only body rules carry it and the method
    has no content, or if the content has no place for it (`ContentTypeNotInjectable`,
    `ContentTooLarge`); `CredentialError` if the token cannot be written there; `ValueError` if the
    caller brought no token (`needs_token`) or not the content (`content_limit`).
    """
    covering = [rule for rule in rules if rule.covers(request)]
    fitting = [rule for rule in covering if rule.fits(request)]
    if any(rule.uses_token for rule in covering) and not any(rule.uses_token for rule in fitting):
        raise ContentNotInjectable(
            f"a {request.method} request has no content to put the credential into",
            fix="add a header or query rule for this path to the upstream's `inject`",
        )
    for rule in fitting:
        request = rule.apply(request, rule.formatted(token))
    return request


__all__ = [
    "AnyInjector",
    "Body",
    "ContentFilter",
    "Cookie",
    "Header",
    "Injector",
    "OutgoingRequest",
    "Path",
    "Query",
    "client_values",
    "content_limit",
    "inject",
    "needs_token",
    "strip_credentials",
]
