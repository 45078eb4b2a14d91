"""Everything that can go wrong, and whose fault it is.

SidekeyError
├── ConfigError                  the operator's file: every issue at once, exit 2
├── StoreError                   the token store cannot be read or written
├── ClientError                  the client's request is refused; nothing left this machine
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
│   ├── GrantRejected            502  the token endpoint said no; trying again is no use
│   ├── AnswerUnusable           502  the token endpoint said yes, and no token can be read
│   └── CredentialExhausted      nothing to renew with: the upstream's own answer stands
├── TokenEndpointError           the token endpoint gave no usable answer; trying again may help
│   ├── TokenEndpointUnreachable 502
│   └── TokenEndpointTimeout     504
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

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})  # forwarded


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


class ClientError(SidekeyError):
    """The client's request is refused; nothing left this machine."""


class UnknownUpstream(ClientError):
    """No upstream has this route."""

    slug = "unknown-upstream"
    title = "Unknown upstream"
    status = 404


class HostRefused(ClientError):
    """Host is not a name of this listener."""

    slug = "host-refused"
    title = "Host refused"
    status = 421


class CrossSiteRefused(ClientError):
    """A web page of another origin sent the request."""

    slug = "cross-site-refused"
    title = "Cross-site request refused"
    status = 403
    advice = "call it from a program of your own, not from a web page"


class PeerRefused(ClientError):
    """The address, the user or the proxy that the request comes from may not call."""

    slug = "peer-refused"
    title = "Peer refused"
    status = 403


class ClientHeaderRequired(ClientError):
    """The field that `clients.header` asks for is missing, wrong or doubled."""

    slug = "client-header-required"
    title = "Client header required"
    status = 412
    advice = "send the field that clients.header of the configuration names, once"


class ClientKeyRequired(ClientError):
    """None of the phantom keys of `clients.keys` stands where the credential goes."""

    slug = "client-key-required"
    title = "Client key required"
    status = 401
    advice = (
        "give the program one of clients.keys of the configuration as its API key,"
        " or send it as Authorization: Bearer"
    )
    fields = (("WWW-Authenticate", 'Bearer realm="sidekey"'),)  # RFC 9110 15.5.2


class NotAllowed(ClientError):
    """An allow or deny rule, or a token endpoint, stands against the request."""

    slug = "not-allowed"
    title = "Not allowed"
    status = 403


class MethodNotAllowed(ClientError):
    """A method that would echo the credential, or that no rule of the upstream names."""

    slug = "method-not-allowed"
    title = "Method not allowed"
    status = 405
    advice = "use another method"

    def __init__(
        self, detail: str, *, allowed: frozenset[str] = METHODS, upstream: str | None = None
    ) -> None:
        super().__init__(detail, upstream=upstream)
        self.fields = (("Allow", ", ".join(sorted(allowed))),)  # RFC 9110 15.5.6


class CredentialConflict(ClientError):
    """The client sent a credential of its own, and `client_credential` says `reject`."""

    slug = "credential-conflict"
    title = "Credential conflict"
    status = 409
    advice = "send none: sidekey adds its own"


class BadTarget(ClientError):
    """The request target could escape its upstream, or is malformed."""

    slug = "bad-target"
    title = "Bad request target"
    status = 400


class TargetTooLong(BadTarget):
    """The request target is longer than any API needs."""

    slug = "target-too-long"
    title = "Request target too long"
    status = 414


class BadMessage(ClientError):
    """The message is no proper HTTP/1.1, or two servers could read it in two ways (RFC 9112)."""

    slug = "bad-message"
    title = "Bad HTTP message"
    advice = "use a client that speaks HTTP/1.1 by the book (RFC 9112)"

    def __init__(
        self,
        detail: str,
        *,
        status: int = 400,
        fix: str | None = None,
        upstream: str | None = None,
    ) -> None:
        super().__init__(detail, fix=fix, upstream=upstream)
        self.status = status


class ClientTooSlow(ClientError):
    """The client's content stopped coming, or comes in drips."""

    slug = "client-too-slow"
    title = "Client too slow"
    status = 408
    advice = "send faster, or raise listen.timeouts"


class RateLimited(ClientError):
    """The rate that `limits` grants this upstream is used up."""

    slug = "rate-limited"
    title = "Rate limited"
    status = 429
    advice = "wait, or raise limits.rate of upstreams.{upstream}"


class TooManyRequests(ClientError):
    """As many requests are under way as `limits` grants this upstream."""

    slug = "too-many-requests"
    title = "Too many requests at once"
    status = 503
    advice = "wait for some of them, or raise limits.concurrency of upstreams.{upstream}"


class LoopDetected(ClientError):
    """The request has been here before: an upstream leads back to this proxy."""

    slug = "loop-detected"
    title = "Loop detected"
    status = 508
    advice = "correct base_url of upstreams.{upstream}: it leads back to sidekey itself"


class ContentTooLarge(ClientError):
    """The content is over the limit of body injection."""

    slug = "content-too-large"
    title = "Content too large"
    status = 413


class ContentNotInjectable(ClientError):
    """The content has no place for the credential."""

    slug = "content-not-injectable"
    title = "Content not injectable"
    status = 400
    advice = "send one JSON object, or a proper form"


class ContentTypeNotInjectable(ContentNotInjectable):
    """The content's media type or coding has no place for the credential."""

    status = 415


class CredentialError(SidekeyError):
    """There is no token to inject."""


class LoginRequired(CredentialError):
    """A human has to act before there can be a token."""

    slug = "login-required"
    title = "Login required"
    status = 503


class GrantRejected(CredentialError):
    """The token endpoint refused the credential (RFC 6749 section 5.2, or a vendor's own words)."""

    slug = "grant-rejected"
    title = "Grant rejected"
    status = 502
    advice = (
        "correct upstreams.{upstream}.provider, and restart sidekey if it refers to a variable;"
        " what was refused is tried again after 20 minutes at the earliest"
    )


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


class ListenError(SidekeyError):
    """The proxy cannot listen where it should: the port is taken, or not ours to take."""

    slug = "listen-failed"
    title = "Cannot listen"
