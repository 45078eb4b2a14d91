"""What every provider has. Pure."""

from __future__ import annotations

from typing import ClassVar, Self

from proxy.credentials.token import Consent, LoginFlow, Token, TokenFlow
from proxy.errors import SignInRequired
from proxy.notation import Frozen


class Provider(Frozen):
    """Knows how a token is obtained; its fields are its YAML keys.

    `acquire(previous)` is the only verb: `None` on first use, else the token that expired or was
    rejected, without its refresh token where that is known to have expired.
    """

    kept: ClassVar[bool] = True  # tokens go to the store
    interactive: ClassVar[bool] = False  # only a human gets a token

    @property
    def buys(self) -> bool:
        """Whether tokens come from a token endpoint, and not from a list or from a human."""
        return self.kept and not self.interactive

    @property
    def rotates(self) -> bool:
        """Whether a renewal may use up what it renews with, so that it must happen only once."""
        return False

    def at(self, base_url: str) -> Self:
        """Return the provider with the defaults that come from the upstream's base URL."""
        return self

    def acquire(self, previous: Token | None) -> TokenFlow:
        """Yield token requests, receive token responses, return a token."""
        raise NotImplementedError

    def endpoints(self) -> tuple[str, ...]:
        """Return the URLs that hand out tokens, as globs: no route ever reaches them."""
        return ()


class InteractiveProvider(Provider):
    """A provider whose tokens need a human at a browser."""

    interactive: ClassVar[bool] = True

    def acquire(self, previous: Token | None) -> TokenFlow:
        """Raise `SignInRequired`: a rejected token is dead, and only a human gets another."""
        yield from ()
        why = "nobody has signed in yet" if previous is None else "the token was rejected"
        raise SignInRequired(why, fix="sidekey login {upstream}")

    def begin(self, callback: str, state: str) -> LoginFlow:
        """Start a sign-in that returns to the URL `callback`; `state` is fresh and random."""
        raise NotImplementedError

    def consent(self) -> Consent:
        """Return what a sign-in asks for."""
        raise NotImplementedError
