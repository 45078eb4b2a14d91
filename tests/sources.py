"""Sources of tokens for tests: what they are made of, and where they point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.credentials.attempts import Attempts
from proxy.credentials.providers import (
    JQuants,
    OAuth2ClientCredentials,
    TokenEndpoint,
)
from proxy.credentials.secret import Secret
from proxy.credentials.source import Source
from proxy.sandbox.portal import Portal

V2, V1 = "/auth/v2/tokens", "/auth/v1/tokens"


Make = Callable[..., Source]


def oauth2(origin: str, secret: str = "demo-client-secret") -> OAuth2ClientCredentials:
    return OAuth2ClientCredentials(
        type="oauth2_client_credentials",
        token_url=origin + V2,
        client_id="demo-client",
        client_secret=Secret(secret),
    )


def legacy(origin: str) -> TokenEndpoint:
    request: dict[str, Any] = {
        "url": origin + V1,
        "json": {"clientId": "demo-client", "clientSecret": "demo-client-secret"},
    }
    renewal = {"url": origin + V1, "method": "PATCH", "json": {"refreshToken": "{refresh_token}"}}
    return TokenEndpoint.model_validate(
        {
            "type": "token_endpoint",
            "request": request,
            "renewal": renewal,
            "response": {"token": "accessToken", "refresh_token": "refreshToken"},
            "lifetime": "1h",
            "refresh_lifetime": "1d",
        }
    )


def jquants(origin: str, password: str = "demo-password") -> JQuants:
    return JQuants(
        type="jquants",
        mailaddress=Secret("demo@example.com"),
        password=Secret(password),
        base_url=f"{origin}/v1",
    )


async def tended(source: Source) -> None:
    """Let the source do what is due without a request, to its end."""
    source.tend()
    await source.settle()


def cut_off(source: Source) -> None:
    """End what a source does, as SIGKILL would: at once, in the middle, and without a word."""

    async def note_nothing(_attempts: Attempts) -> None: ...

    source._shelf.note = note_nothing  # type: ignore[method-assign]
    assert source._task is not None
    source._task.cancel()


def methods(portal: Portal, path: str) -> list[str]:
    return [request.method for request in portal.requests if request.target == path]
