"""A registered (legacy) Misskey app: the user approves it in the browser. Pure.

Source: https://misskey-hub.net/docs/for-developers/api/token/app.
The app's own callback URL was fixed when it was registered, so the sign-in asks until it is done.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal, Self

from proxy.credentials.providers.answers import parse, pick, read_object, token_at
from proxy.credentials.providers.base import InteractiveProvider
from proxy.credentials.providers.miauth import user_of
from proxy.credentials.secret import Secret
from proxy.credentials.token import (
    Consent,
    Login,
    LoginFlow,
    Token,
    TokenFlow,
    TokenRequest,
)
from proxy.errors import LoginPending, TokenEndpointUnreachable
from proxy.notation import BaseUrl, check_url, origin_of


class MisskeyApp(InteractiveProvider):
    """The app's secret and the user's approval make a token that does not expire."""

    type: Literal["misskey_app"]
    """A Misskey user approves a registered (legacy) app in the browser."""
    app_secret: Secret
    """Secret of the app (`app/create`)."""
    server: BaseUrl | None = None
    """The Misskey server; by default the origin of `base_url`."""

    def at(self, base_url: str) -> Self:
        return self.model_copy(update={"server": self.server or origin_of(base_url)})

    def endpoints(self) -> tuple[str, ...]:
        return (
            f"{self.server}/api/auth/session/generate",
            f"{self.server}/api/auth/session/userkey",
        )

    def consent(self) -> Consent:
        return Consent(origin_of(str(self.server)))

    def begin(self, callback: str, state: str) -> LoginFlow:
        response = yield self._request("generate", {})
        answer = read_object(response)
        session, url = pick(answer, "token"), pick(answer, "url")
        if not isinstance(session, str) or not session or not _is_page(url):
            raise TokenEndpointUnreachable("auth/session/generate answered without token and url")
        return Login(url, state_name="token", state=session, finish=lambda: self._fetch(session))

    def _fetch(self, session: str) -> TokenFlow:
        response = yield self._request("userkey", {"token": session})
        if pick(parse(response.content), "error.code") == "PENDING_SESSION":  # status 400
            raise LoginPending("not approved yet")
        answer = read_object(response)
        access_token = token_at(answer, "accessToken").reveal()
        digest = hashlib.sha256((access_token + self.app_secret.reveal()).encode()).hexdigest()
        return Token(Secret(digest), outputs=user_of(answer))

    def _request(self, endpoint: str, fields: dict[str, str]) -> TokenRequest:
        content = {"appSecret": self.app_secret.reveal()} | fields
        return TokenRequest(
            "POST",
            f"{self.server}/api/auth/session/{endpoint}",
            {"Content-Type": "application/json"},
            json.dumps(content).encode(),
        )


def _is_page(url: object) -> bool:
    """Tell whether a browser may open `url`: a server must not name a local file or a script."""
    try:
        return isinstance(url, str) and check_url(url) == url
    except ValueError:
        return False
