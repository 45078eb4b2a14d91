"""What a provider speaks: requests and responses of a token endpoint, and the token they yield.

Pure: no I/O, no clock, no randomness. `TokenResponse.sent_at` is the only clock a provider sees.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

from multidict import MultiMapping

from proxy.credentials.secret import Secret

LEAST_SKEW = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Token:
    """What is injected.

    `expires_at` is aware (UTC) wall time of this machine, `None` for a token that does not expire.
    It is `assumed` where the API tells nothing: then it is the configuration's word, or nobody's.
    `outputs` are further facts of the answer, such as the name of the account.
    """

    value: Secret
    expires_at: datetime | None = None
    refresh_token: Secret | None = None
    refresh_expires_at: datetime | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request to a token endpoint. Its content, fields and query may hold secrets."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""

    def __repr__(self) -> str:
        return f"TokenRequest({self.method} {without_query(self.url)})"


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """The answer of a token endpoint.

    `sent_at` is when the request left, by the wall clock of the answer: it errs early.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    sent_at: datetime

    @property
    def skew(self) -> timedelta:
        """How far the server's clock is ahead of ours, by its Date (RFC 9110 6.6.1).

        Date has whole seconds and is some seconds younger than `sent_at`: less than 5 is nothing.
        """
        try:
            skew = parsedate_to_datetime(self.headers.get("Date", "")) - self.sent_at
        except (TypeError, ValueError, OverflowError):  # none, or none that can be compared
            return timedelta(0)
        return skew if abs(skew) >= LEAST_SKEW else timedelta(0)

    def __repr__(self) -> str:
        return f"TokenResponse({self.status})"


TokenFlow = Generator[TokenRequest, TokenResponse, Token]


@dataclass(frozen=True, slots=True)
class Login:
    """A sign-in that waits for a human.

    The browser opens `url`; it comes back to the callback with the query parameter
    `state_name` equal to `state`, which tells this sign-in from any other.
    `finish` starts a flow that returns the token, or raises `LoginPending` while nobody approved.
    """

    url: str
    state_name: str
    state: str
    finish: Callable[[], TokenFlow]

    def is_named_by(self, query: MultiMapping[str]) -> bool:
        """Tell whether the query of a callback names this sign-in, and no other beside it."""
        shown = query.getall(self.state_name, [])
        return len(shown) == 1 and hmac.compare_digest(shown[0].encode(), self.state.encode())


@dataclass(frozen=True, slots=True)
class Consent:
    """What the server's page will ask a human to approve, as far as it is known beforehand.

    `server` is the origin of that page. `permissions` are what they mean, in words, by the server's
    names for them; a meaning that is not known is empty. `None` where only the server knows.
    """

    server: str
    application: str | None = None
    permissions: Mapping[str, str] | None = None


LoginFlow = Generator[TokenRequest, TokenResponse, Login]


def without_query(url: str) -> str:
    """Return `url` without user, query and fragment: what may stand in a message."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
