"""Everything that can go wrong, and whose fault it is.

SidekeyError
├── ConfigError                  the operator's file: every issue at once, exit 2
├── StoreError                   the token store cannot be read or written
│   ├── StoreBusy                somebody else has been at it for too long
│   ├── ForeignEntry             the entry belongs to another configuration
│   ├── EntryLost                a store that forgets has lost an entry
│   └── Superseded               somebody else has kept a later one
├── ClientError                  the client's request is refused: see `refusals.py`
│   ├── UnknownUpstream          404  no such route
│   ├── HostRefused              421  Host is no name of this listener
│   ├── CrossSiteRefused         403  a web page of another origin sent it
│   ├── PeerRefused              403  an address, a user or a proxy that may not call
│   ├── ClientHeaderRequired     412  the shared header of clients is missing
│   ├── ClientKeyRequired        401  no phantom key of clients where the credential goes
│   ├── NotAllowed               403  an allow or deny rule, or a token endpoint
│   ├── MethodNotAllowed         405  TRACE, CONNECT, and what no rule names
│   ├── CredentialConflict       409  a credential of the client's own, where that is refused
│   ├── BadTarget                400  dot segments, encoded slashes, malformed target
│   ├── TargetTooLong            414
│   ├── BadMessage               400  malformed or ambiguous HTTP; 417, 431, 501, 505 where it fits
│   ├── ClientTooSlow            408  content that does not come
│   ├── ContentTooLarge          413  body injection, or a limit of the upstream's
│   ├── RateLimited              429  the upstream's rate is used up
│   ├── TooManyRequests          503  as many requests are under way as the upstream's limit says
│   ├── LoopDetected             508  the request has been here before
│   └── ContentNotInjectable     415 or 400  body injection into something that has no place for it
├── CredentialError              there is no token to inject
│   ├── LoginRequired            503  a human has to act; `fix` says how
│   │   └── SignInRequired           at a browser, on the server's own page
│   ├── GrantRejected            502  the token endpoint said no; trying again is no use
│   │   └── AttemptsUsedUp       as often as an account allows; not asked again for a while
│   ├── AnswerUnusable           502  the token endpoint said yes, and no token can be read
│   └── CredentialExhausted      nothing to renew with: the upstream's own answer stands
├── TokenEndpointError           the token endpoint gave no usable answer; trying again may help
│   ├── TokenEndpointUnreachable 502
│   ├── TokenEndpointTimeout     504
│   └── TokenPending             503  it is being fetched; who waits has waited long enough
├── UpstreamError                the upstream gave no usable answer
│   ├── UpstreamUnreachable      502
│   └── UpstreamTimeout          504
├── LoginPending                 nobody has approved the sign-in yet
├── LoginFailed                  the sign-in ended without a token
└── ListenError                  the proxy cannot listen where it should

No message holds content, a query string or a secret.
`fix` may hold `{upstream}`, which stands for the upstream's name.
"""

from __future__ import annotations

from typing import ClassVar


class SidekeyError(Exception):
    """Any failure that sidekey knows; `slug` and `status` are its face in HTTP."""

    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "sidekey failed"
    status: int = 500
    advice: ClassVar[str | None] = None  # the fix where the one who raises knows no better
    fields: tuple[tuple[str, str], ...] = ()  # further header fields of the answer

    def __init__(
        self,
        detail: str,
        *,
        fix: str | None = None,
        upstream: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.upstream = upstream
        self.retry_after = retry_after
        self._fix = fix

    def __str__(self) -> str:
        return self.detail

    @property
    def fix(self) -> str | None:
        """What to do about it, in words or as a command."""
        fix = self._fix or self.advice
        if fix is None or "{upstream}" not in fix:
            return fix
        return fix.replace("{upstream}", self.upstream) if self.upstream else None


class ConfigError(SidekeyError):
    """The configuration cannot be used; `issues` are printable lines, one an issue."""

    def __init__(self, issues: list[str]) -> None:
        super().__init__("\n".join(issues))
        self.issues = issues


class StoreError(SidekeyError):
    """The token store cannot be read or written."""

    slug = "store-failed"
    title = "The token store failed"


class StoreBusy(StoreError):
    """Another process has been renewing this token, or writing to the store, for too long."""

    advice = "see whether another sidekey is stopped or hangs: sidekey status"


class ForeignEntry(StoreError):
    """The entry belongs to another configuration of the same name."""


class EntryLost(StoreError):
    """An entry is gone that nobody has removed: the store was emptied, or restarted."""


class Superseded(StoreError):
    """The store holds a later entry than the one that was to be kept, or the lock was lost."""


class CredentialError(SidekeyError):
    """There is no token to inject."""


class LoginRequired(CredentialError):
    """A human has to act before there can be a token."""

    slug = "login-required"
    title = "Login required"
    status = 503


class SignInRequired(LoginRequired):
    """A human has to sign in at a browser, on the server's own page."""


class GrantRejected(CredentialError):
    """The token endpoint refused the credential (RFC 6749 section 5.2, or a vendor's own words)."""

    slug = "grant-rejected"
    title = "Grant rejected"
    status = 502
    advice = (
        "correct upstreams.{upstream}.provider, and restart sidekey if it refers to a variable;"
        " if the server's side was at fault: sidekey refresh {upstream}"
    )


class AttemptsUsedUp(GrantRejected):
    """The credential was refused so often that one more attempt could lock the account."""


class AnswerUnusable(CredentialError):
    """The token endpoint said yes, but no token can be read: asking again would sign in again."""

    slug = "grant-rejected"
    title = "Token answer unusable"
    status = 502
    advice = "see where the token stands in the answer: upstreams.{upstream}.provider"


class CredentialExhausted(CredentialError):
    """The rejected token was the last one to be had: the upstream's own answer stands."""

    slug = "credential-rejected"
    title = "Credential rejected"
    status = 502


class TokenEndpointError(SidekeyError):
    """The token endpoint gave no usable answer; trying again later may help."""


class TokenEndpointUnreachable(TokenEndpointError):
    """No connection to the token endpoint, or an answer that makes no sense."""

    slug = "token-endpoint-unreachable"
    title = "Token endpoint unreachable"
    status = 502
    advice = "see whether the token endpoint of upstreams.{upstream} is right and up"


class TokenEndpointTimeout(TokenEndpointError):
    """The token endpoint did not answer in time."""

    slug = "token-endpoint-timeout"
    title = "Token endpoint timed out"
    status = 504
    advice = "see whether the token endpoint of upstreams.{upstream} is right and up"


class TokenPending(TokenEndpointError):
    """A token is being fetched, and whoever waits for it has waited long enough."""

    slug = "token-pending"
    title = "Token not there yet"
    status = 503
    advice = "try again; if it stays so, see whether the token endpoint of {upstream} is up"


class UpstreamError(SidekeyError):
    """The upstream gave no usable answer."""


class UpstreamUnreachable(UpstreamError):
    """No connection to the upstream, or an answer that is no HTTP."""

    slug = "upstream-unreachable"
    title = "Upstream unreachable"
    status = 502
    advice = "see whether base_url of upstreams.{upstream} is right and the server up"


class UpstreamTimeout(UpstreamError):
    """The upstream did not answer in time."""

    slug = "upstream-timeout"
    title = "Upstream timed out"
    status = 504
    advice = "ask for less at once, or raise timeouts of upstreams.{upstream}"


class LoginPending(SidekeyError):
    """Nobody has approved the sign-in yet."""


class LoginFailed(SidekeyError):
    """The sign-in ended without a token."""

    slug = "login-failed"
    title = "Login failed"
    status = 409


class ListenError(SidekeyError):
    """The proxy cannot listen where it should: the port is taken, or not ours to take."""

    slug = "listen-failed"
    title = "Cannot listen"
