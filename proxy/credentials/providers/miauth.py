"""MiAuth: a Misskey user approves in the browser, without an app being registered. Pure.

Source: https://misskey-hub.net/docs/for-developers/api/token/miauth. Tokens do not expire.
"""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import quote, urlencode

from proxy.credentials.providers.answers import pick, printable, read_object, token_at
from proxy.credentials.providers.base import InteractiveProvider
from proxy.credentials.providers.misskey_permissions import meaning
from proxy.credentials.token import Consent, Login, LoginFlow, Token, TokenFlow, TokenRequest
from proxy.errors import LoginPending
from proxy.notation import BaseUrl, Url, origin_of


class MiAuth(InteractiveProvider):
    """Asks for `permission` in the name of `name`; the server's page shows both."""

    type: Literal["miauth"]
    """A Misskey user approves in the browser."""
    server: BaseUrl | None = None
    """The Misskey server; by default the origin of `base_url`."""
    name: str = "sidekey"
    """Name that the server's page shows to the user."""
    permission: tuple[str, ...] = ()
    """Permissions that the page asks for, such as `read:account`."""
    icon: Url | None = None
    """Picture that the page shows."""

    def at(self, base_url: str) -> Self:
        return self.model_copy(update={"server": self.server or origin_of(base_url)})

    def endpoints(self) -> tuple[str, ...]:
        return (f"{self.server}/api/miauth/gen-token", f"{self.server}/api/miauth/*/check")

    def consent(self) -> Consent:
        permissions = {name: meaning(name) for name in self.permission}
        return Consent(origin_of(str(self.server)), self.name, permissions)

    def begin(self, callback: str, state: str) -> LoginFlow:
        yield from ()
        query = {"name": self.name, "callback": callback, "permission": ",".join(self.permission)}
        if self.icon is not None:
            query["icon"] = self.icon
        url = f"{self.server}/miauth/{quote(state, safe='')}?{urlencode(query)}"
        return Login(url, state_name="session", state=state, finish=lambda: self._check(state))

    def _check(self, session: str) -> TokenFlow:
        """Fetch the token; the server hands it out once, so it must be kept before anything else.

        The content is absent on purpose: with `Content-Type: application/json` and no content
        Fastify answers 400 (measured on 13.13.2 and 2025.11.1).
        """
        response = yield TokenRequest(
            "POST", f"{self.server}/api/miauth/{quote(session, safe='')}/check"
        )
        answer = read_object(response)
        if answer.get("ok") is not True:
            raise LoginPending("not approved yet")
        return Token(token_at(answer, "token"), outputs=user_of(answer))


def user_of(answer: dict[str, object]) -> dict[str, str]:
    """Return the name of the account that approved."""
    username = pick(answer, "user.username")
    return {"user": f"@{printable(username)}"} if isinstance(username, str) else {}
