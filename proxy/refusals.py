"""Why a client's request is refused: nothing of it has left this machine then. Pure.

The picture of all errors stands in `errors.py`.
"""

from __future__ import annotations

from proxy.errors import SidekeyError
from proxy.notation import any_of

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})  # forwarded


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
    """The field that `clients.header` asks for is missing, wrong or doubled.

    `header` is its name, which is no secret.
    """

    slug = "client-header-required"
    title = "Client header required"
    status = 412

    def __init__(
        self, detail: str, *, header: str | None = None, upstream: str | None = None
    ) -> None:
        fix = f"send {header} once, with the value of clients.header" if header else None
        super().__init__(detail, fix=fix, upstream=upstream)
        self.header = header


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


STRANGERS = (ClientHeaderRequired, ClientKeyRequired)  # told to clients that may learn no names


class NotAllowed(ClientError):
    """An allow or deny rule, or a token endpoint, stands against the request.

    `rule` is the place of the rule within the upstream, such as `deny[0]`.
    """

    slug = "not-allowed"
    title = "Not allowed"
    status = 403

    def __init__(
        self,
        detail: str,
        *,
        fix: str | None = None,
        rule: str | None = None,
        upstream: str | None = None,
    ) -> None:
        super().__init__(detail, fix=fix, upstream=upstream)
        self.rule = rule


class MethodNotAllowed(ClientError):
    """A method that would echo the credential, or that no rule of the upstream names."""

    slug = "method-not-allowed"
    title = "Method not allowed"
    status = 405

    def __init__(
        self, detail: str, *, allowed: frozenset[str] = METHODS, upstream: str | None = None
    ) -> None:
        methods = sorted(allowed)
        super().__init__(detail, fix=f"use {any_of(methods)}", upstream=upstream)
        self.fields = (("Allow", ", ".join(methods)),)  # RFC 9110 15.5.6


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
