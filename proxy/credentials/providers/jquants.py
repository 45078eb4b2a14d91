"""J-Quants API v1: mail and password buy a refresh token, which buys an ID token. Pure.

Source: https://jpx.gitbook.io/j-quants-ja/api-reference/refreshtoken and .../idtoken.
Answers carry no expiry. Refresh tokens live 7 days, ID tokens 24 hours; the defaults here are the
margins of the official client. Wrong credentials and a dead refresh token are both 400.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Literal, Self
from urllib.parse import quote

from pydantic import model_validator

from proxy.credentials.providers.answers import expiry, read_object, token_at
from proxy.credentials.providers.base import Provider
from proxy.credentials.secret import Secret
from proxy.credentials.token import Token, TokenFlow, TokenRequest
from proxy.errors import GrantRejected, LoginRequired
from proxy.notation import BaseUrl, Duration

PASTE_HERE = (
    "copy a new refresh token from https://jpx-jquants.com/dashboard/menu/ into"
    " upstreams.{upstream}.provider.refresh_token, or configure mailaddress and password"
)


class JQuants(Provider):
    """Mail and password, or a pasted refresh token, or both."""

    type: Literal["jquants"]
    """J-Quants API v1."""
    mailaddress: Secret | None = None
    """Mail address of the account; goes together with `password`."""
    password: Secret | None = None
    """Password of the account."""
    refresh_token: Secret | None = None
    """Refresh token from the dashboard; without a password, one has to be pasted every week."""
    base_url: BaseUrl | None = None
    """Base URL of the token endpoints; by default that of the upstream."""
    id_token_lifetime: Duration = timedelta(hours=23)
    """How long an ID token counts as good; its own `exp` counts where it is earlier."""
    refresh_token_lifetime: Duration = timedelta(days=6)
    """How long a refresh token is used before sidekey signs in again."""

    @model_validator(mode="after")
    def _has_a_credential(self) -> Self:
        if (self.mailaddress is None) != (self.password is None):
            raise ValueError("mailaddress and password go together")
        if self.mailaddress is None and self.refresh_token is None:
            raise ValueError("needs mailaddress and password, or refresh_token")
        return self

    def at(self, base_url: str) -> Self:
        return self.model_copy(update={"base_url": self.base_url or base_url})

    def endpoints(self) -> tuple[str, ...]:
        return (f"{self.base_url}/token/auth_user", f"{self.base_url}/token/auth_refresh")

    def acquire(self, previous: Token | None) -> TokenFlow:
        for known in self._refresh_tokens(previous):
            try:
                return (yield from self._renew(known))
            except GrantRejected:
                continue  # 400 is also how auth_refresh reports an expired refresh token
        if self.password is None:
            raise LoginRequired("the J-Quants refresh token is no longer good", fix=PASTE_HERE)
        return (yield from self._renew((yield from self._sign_in())))

    def _refresh_tokens(self, previous: Token | None) -> list[Token]:
        """Return tokens that hold a refresh token worth trying, the latest first."""
        known = [previous] if previous is not None and previous.refresh_token is not None else []
        pasted = self.refresh_token
        if pasted is not None and not any(token.refresh_token == pasted for token in known):
            known.append(Token(pasted, refresh_token=pasted))
        return known

    def _sign_in(self) -> TokenFlow:
        """Return a token that holds nothing but the new refresh token."""
        assert self.mailaddress is not None  # the validator saw to it
        assert self.password is not None
        content = {"mailaddress": self.mailaddress.reveal(), "password": self.password.reveal()}
        response = yield TokenRequest(
            "POST",
            f"{self.base_url}/token/auth_user",
            {"Content-Type": "application/json"},
            json.dumps(content).encode(),
        )
        refresh_token = token_at(read_object(response), "refreshToken")
        return Token(
            refresh_token,
            refresh_token=refresh_token,
            refresh_expires_at=response.sent_at + self.refresh_token_lifetime,
        )

    def _renew(self, known: Token) -> TokenFlow:
        """Buy an ID token; the refresh token stays the same, J-Quants never rotates it."""
        assert known.refresh_token is not None
        refresh_token = quote(known.refresh_token.reveal(), safe="")
        response = yield TokenRequest(
            "POST", f"{self.base_url}/token/auth_refresh?refreshtoken={refresh_token}"
        )
        id_token = token_at(read_object(response), "idToken")
        expires = expiry(response, id_token, expires_in=None, default=self.id_token_lifetime)
        return Token(
            id_token,
            expires_at=expires.at,
            assumed=expires.assumed,
            refresh_token=known.refresh_token,
            refresh_expires_at=known.refresh_expires_at,
        )
