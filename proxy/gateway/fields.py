"""Header fields in and out: what never passes a proxy, and what must not pass this one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from multidict import CIMultiDict, MultiMapping

from proxy.errors import UpstreamUnreachable
from proxy.refusals import LoopDetected

HOP_BY_HOP = frozenset(  # RFC 9110 7.6.1, and those that older software still sends
    {
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
REWRITTEN = frozenset({"host", "content-length", "expect"})  # ours to say on the next connection
FROM_BROWSERS = frozenset({"origin", "referer"})
ABOUT_THE_CLIENT = frozenset({"forwarded", "via", "x-real-ip"})
OVERRIDES = frozenset(  # servers that heed them would do another method than the one we checked
    {"x-http-method", "x-http-method-override", "x-method-override"}
)
CREDENTIALS = frozenset({"authorization", "x-api-key"})
COOKIES = frozenset({"cookie", "cookie2"})
NOT_FORWARDED = (  # beginnings; x-original-url and x-rewrite-url would replace the path we checked
    "sec-fetch-",
    "sidekey-",
    "x-forwarded-",
    "x-original-",
    "x-rewrite-",
)
FOR_THE_ORIGIN = frozenset(  # settings that a browser keeps for all routes at once, beside cookies
    {
        "alt-svc",
        "clear-site-data",
        "nel",
        "public-key-pins",
        "public-key-pins-report-only",
        "refresh",
        "report-to",
        "reporting-endpoints",
        "service-worker-allowed",
        "strict-transport-security",
        "timing-allow-origin",
    }
)
SETTING_COOKIES = frozenset({"set-cookie"})
NOT_ANSWERED = (  # beginnings; only we may set Sidekey-Error: it tells our answers from theirs
    "access-control-",
    "set-cookie2",
    "sidekey-",
)
READABLE_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "identity"})
HOP = "Sidekey-Hop"
TOKEN_FIELD = "Sidekey-Token"  # noqa: S105  a name
SANDBOX = "sandbox; default-src 'none'"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # what aiohttp reads bytes as that are no UTF-8
_MEDIA_TYPE = re.compile(r"[^\s/;]+/(?P<subtype>[^\s/;]+)")
_ACTIVE_SUBTYPES = ("html", "xml", "xsl", "x-mixed-replace")  # endings: xhtml+xml, svg+xml
PROTECTED = (  # a client that lists these in Connection must not make them vanish
    CREDENTIALS | COOKIES | {"cache-control", "content-length", "content-type", "host"}
)


def folded(name: str) -> str:
    """Return the name as CGI, WSGI and nginx compare it: `X_Api_Key` is `X-Api-Key` to them."""
    return name.lower().replace("_", "-")


def request_fields(
    received: MultiMapping[str], *, keep_credentials: bool, keep_cookies: bool
) -> CIMultiDict[str]:
    """Return the client's end-to-end fields, in order, with every duplicate.

    Names are compared folded, and written as they came; duplicates take the spelling of the first:
    aiohttp's client lets `X-A` after `x-a` replace it. Values that are no UTF-8 go, since aiohttp
    would write other bytes. `Authorization`, `X-Api-Key` and cookies go unless they are kept: they
    were never meant for this API.
    """
    dropped = _dropped_from_requests(keep_credentials, keep_cookies)
    spelling: dict[str, str] = {}
    return CIMultiDict(
        (spelling.setdefault(name.lower(), name), value)
        for name, value in _end_to_end(received, dropped, NOT_FORWARDED)
        if sendable(value) and is_utf8(value)
    )


@cache
def _dropped_from_requests(keep_credentials: bool, keep_cookies: bool) -> frozenset[str]:
    dropped = HOP_BY_HOP | REWRITTEN | FROM_BROWSERS | ABOUT_THE_CLIENT | OVERRIDES
    if not keep_credentials:
        dropped |= CREDENTIALS
    return dropped if keep_cookies else dropped | COOKIES


def why_dropped(name: str, received: MultiMapping[str]) -> str | None:
    """Return why `request_fields` leaves the field `name` out, `None` for another's reasons."""
    known_as = folded(name)
    reasons = (
        (HOP_BY_HOP | _nominated(received), "it belongs to this connection alone"),
        (REWRITTEN, "sidekey says it anew"),
        (FROM_BROWSERS | ABOUT_THE_CLIENT, "it tells about the client"),
        (OVERRIDES, "it would do another method than the one that was checked"),
        (CREDENTIALS | COOKIES, "a credential that was never meant for this API"),
    )
    found = next((why for names, why in reasons if known_as in names), None)
    if found is None and known_as.startswith(NOT_FORWARDED):
        return "it is for sidekey and for proxies, not for APIs"
    return found


def check_hops(received: MultiMapping[str], own: str) -> None:
    """Raise `LoopDetected` if the request has been at `own`, the id of this process, before."""
    if own in _listed(received, HOP):
        raise LoopDetected("the request has been here before: an upstream leads back to sidekey")


def hops(received: MultiMapping[str], own: str, base_url: str) -> CIMultiDict[str]:
    """Return the field that tells the upstream where the request has been, `own` included.

    Only for clear text: our listeners speak nothing else, so behind https there is no loop.
    """
    if not base_url.startswith("http://"):
        return CIMultiDict()
    return CIMultiDict({HOP: ", ".join([*_listed(received, HOP), own])})


def without_unreadable_codings(fields: CIMultiDict[str]) -> CIMultiDict[str]:
    """Return the fields with only those content codings accepted that we can look into."""
    if "Accept-Encoding" not in fields:
        return fields
    asked = _listed(fields, "Accept-Encoding")
    kept = [coding for coding in asked if _coding_name(coding) in READABLE_CODINGS]
    changed = fields.copy()
    changed["Accept-Encoding"] = ", ".join(kept) or "identity"
    return changed


def _coding_name(coding: str) -> str:
    return coding.partition(";")[0].strip().lower()


def response_fields(received: MultiMapping[str], *, keep_cookies: bool) -> CIMultiDict[str]:
    """Return the upstream's end-to-end fields, in order, with every duplicate.

    All routes share one origin, `http://127.0.0.1:8080`, so what a browser would keep for the
    origin of one upstream goes: it would hold for all of them. CORS fields go:
    `Access-Control-Allow-Origin: *` would open answers that our credential bought to every page.
    Raises `UpstreamUnreachable` for a control byte, with which the answer could not be framed.
    """
    if not sendable("".join(received.values())):
        raise UpstreamUnreachable("the upstream sent a header field with a control byte in it")
    passing = _end_to_end(received, _dropped_from_answers(keep_cookies), NOT_ANSWERED)
    return CIMultiDict((name, as_utf8(value)) for name, value in passing)


@cache
def _dropped_from_answers(keep_cookies: bool) -> frozenset[str]:
    dropped = HOP_BY_HOP | FOR_THE_ORIGIN
    return dropped if keep_cookies else dropped | SETTING_COOKIES


def with_protection(fields: CIMultiDict[str], status: int) -> CIMultiDict[str]:
    """Return the fields of a final answer, and those that keep web pages from misusing it.

    All routes share one origin: a page of one upstream could call another one as its own, and would
    have its credential. So active content is sandboxed, into an origin of its own; nothing is taken
    for active content that does not say so, embedded into other sites' pages, or kept on disk by
    whoever was not told that it may.
    """
    protected = fields.copy()
    protected["X-Content-Type-Options"] = "nosniff"
    protected["Cross-Origin-Resource-Policy"] = "same-origin"
    if status != 304 and "Cache-Control" not in fields and "Expires" not in fields:
        protected["Cache-Control"] = "no-store"  # a 304 would say so of what was stored before
    if _may_be_active(fields, status):
        protected.add("Content-Security-Policy", SANDBOX)  # the upstream's own holds as well
    return protected


def _may_be_active(fields: CIMultiDict[str], status: int) -> bool:
    """Tell whether a browser could run the content; what has no proper type may be anything."""
    if status in (204, 304) or fields.get("Content-Length") == "0":
        return False
    types = [
        _MEDIA_TYPE.match(text.strip().lower())
        for text in ",".join(_all(fields, "Content-Type")).split(",")
    ]
    return any(found is None or found["subtype"].endswith(_ACTIVE_SUBTYPES) for found in types)


def _end_to_end(
    received: MultiMapping[str], dropped: frozenset[str], beginnings: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Yield the fields that neither Connection nor `dropped` names, without those `beginnings`."""
    nominated = _nominated(received)
    for name, value in received.items():
        known_as = folded(name)
        if known_as in dropped or known_as in nominated or known_as.startswith(beginnings):
            continue
        yield name, value


def _nominated(received: MultiMapping[str]) -> frozenset[str]:
    """Return the fields, folded, that Connection declares to be hop-by-hop."""
    if "Connection" not in received:
        return frozenset()
    return frozenset(map(folded, _listed(received, "Connection"))) - PROTECTED


def _listed(received: MultiMapping[str], name: str) -> list[str]:
    """Return the members of a list that all the fields of that name hold together."""
    members = (member.strip() for member in ",".join(_all(received, name)).split(","))
    return [member for member in members if member]


def _all(received: MultiMapping[str], name: str) -> Iterable[str]:
    return received.getall(name, ())


def sendable(value: str) -> bool:
    """Tell whether a value or reason phrase can be written: control bytes mis-frame a message."""
    return _CONTROL.search(value) is None


def is_utf8(value: str) -> bool:
    """Tell whether a value was read from bytes that were UTF-8."""
    return value.isascii() or _SURROGATE.search(value) is None


def as_utf8(value: str) -> str:
    """Return a value that aiohttp can write.

    It reads fields as UTF-8 and writes nothing else; other bytes are taken for Latin-1, as RFC 9110
    5.5 remembers them, so that the file name in a Content-Disposition survives.
    """
    return value if is_utf8(value) else value.encode(errors="surrogateescape").decode("latin-1")
