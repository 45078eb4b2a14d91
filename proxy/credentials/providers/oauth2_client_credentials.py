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
    token_url: Url
    client_id: str = Field(min_length=1)
    client_secret: Secret
    client_auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    scope: str | None = None
    audience: str | None = None
    resource: str | None = None
    extra_params: dict[str, str] = Field(default_factory=dict, repr=False)
    default_lifetime: Duration = timedelta(hours=1)

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
