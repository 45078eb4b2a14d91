"""From a request to the user it speaks for: where the token stands, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.sandbox.misskey.accounts import NATIVE_TOKEN_LENGTH, AccessToken, Accounts, User
from proxy.sandbox.misskey.errors import AUTHENTICATION_FAILED, ApiError, NeverAnsweredError
from proxy.sandbox.misskey.release import Release


@dataclass(frozen=True, slots=True)
class Credential:
    """Who is calling; a native token has no `token`."""

    user: User | None = None
    token: AccessToken | None = None

    @property
    def native(self) -> bool:
        """Whether the user's own token was sent, as "secure" endpoints demand."""
        return self.user is not None and self.token is None


def bearer_token(headers: Mapping[str, str], release: Release) -> str | None:
    """The token of the Authorization field; its scheme is compared letter by letter."""
    authorization = headers.get("Authorization", "")
    if not release.reads_authorization or not authorization.startswith("Bearer "):
        return None
    return authorization.removeprefix("Bearer ")


def api_token(headers: Mapping[str, str], params: object, release: Release) -> str | None:
    """The token of an API call: the Authorization field wins over the parameter `i`.

    Raises:
        NeverAnsweredError: `i` is neither a string nor null.
    """
    bearer = bearer_token(headers, release)
    if bearer is not None:
        return bearer
    token = params.get("i") if isinstance(params, dict) else None
    if token is not None and not isinstance(token, str):
        raise NeverAnsweredError
    return token


def authenticate(token: str | None, accounts: Accounts) -> Credential:
    """Look the token up; without a token the caller is anonymous, an empty one is wrong.

    Raises:
        ApiError: AUTHENTICATION_FAILED.
    """
    if token is None:
        return Credential()
    if len(token) == NATIVE_TOKEN_LENGTH:
        user = accounts.user_of_native_token(token)
        if user is not None:
            return Credential(user)
    access_token = accounts.find_token(token)
    if access_token is None:
        raise ApiError(AUTHENTICATION_FAILED)
    return Credential(access_token.user, access_token)
