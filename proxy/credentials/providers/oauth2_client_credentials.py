"""OAuth 2.0 client credentials (RFC 6749 section 4.4). Pure."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Literal
from urllib.parse import quote_plus, urlencode

from pydantic import Field

from proxy.credentials.providers.answers import expiry, read_object, token_at
from proxy.credentials.providers.base import Provider
from proxy.credentials.secret import Secret
from proxy.credentials.token import Token, TokenFlow, TokenRequest
from proxy.notation import Duration, Url

FORM = "application/x-www-form-urlencoded"


def basic(user: str, password: str) -> str:
    """Return the value of an Authorization field with Basic credentials (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class OAuth2ClientCredentials(Provider):
    """The client's own id and secret buy an access token."""

    type: Literal["oauth2_client_credentials"]
    """OAuth 2.0 client credentials (RFC 6749 section 4.4)."""
    token_url: Url
    """The token endpoint."""
    client_id: str = Field(min_length=1)
    """The client's id."""
    client_secret: Secret
    """The client's secret."""
    client_auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    """Where both go: into an Authorization field, or into the form."""
    scope: str | None = None
    """Scopes to ask for, separated by spaces."""
    audience: str | None = None
    """The parameter of that name (Auth0 and others)."""
    resource: str | None = None
    """The parameter of that name (RFC 8707)."""
    extra_params: dict[str, str] = Field(default_factory=dict, repr=False)
    """Further parameters of the form."""
    default_lifetime: Duration = timedelta(hours=1)
    """How long a token counts as good where the answer does not say."""

    def endpoints(self) -> tuple[str, ...]:
        return (self.token_url,)

    def acquire(self, previous: Token | None) -> TokenFlow:
        """Ask for a new token; this grant has no refresh token (RFC 6749 4.4.3)."""
        response = yield self._request()
        answer = read_object(response)
        token = token_at(answer, "access_token")
        expires = expiry(
            response, token, expires_in=answer.get("expires_in"), default=self.default_lifetime
        )
        return Token(token, expires_at=expires.at, assumed=expires.assumed)

    def _request(self) -> TokenRequest:
        headers = {"Content-Type": FORM, "Accept": "application/json"}
        params = {"grant_type": "client_credentials"} | self._optional() | self.extra_params
        if self.client_auth == "client_secret_post":
            params |= {"client_id": self.client_id, "client_secret": self.client_secret.reveal()}
        else:
            # RFC 6749 2.3.1: id and secret are form-encoded before they become Basic credentials.
            headers["Authorization"] = basic(
                quote_plus(self.client_id), quote_plus(self.client_secret.reveal())
            )
        return TokenRequest("POST", self.token_url, headers, urlencode(params).encode())

    def _optional(self) -> dict[str, str]:
        chosen = {"scope": self.scope, "audience": self.audience, "resource": self.resource}
        return {name: value for name, value in chosen.items() if value}
