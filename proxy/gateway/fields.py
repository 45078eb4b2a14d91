"""Header fields in and out: what never passes a proxy, and what must not pass this one. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from multidict import CIMultiDict, MultiMapping

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
ABOUT_THE_CLIENT = frozenset({"forwarded", "via", "x-real-ip", "x-original-url", "x-rewrite-url"})
CREDENTIALS = frozenset({"authorization", "cookie"})  # cookies: one origin serves every upstream
TO_BROWSERS = frozenset({"set-cookie", "set-cookie2", "timing-allow-origin"})
READABLE_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "identity"})
_CONTROLS = frozenset(map(chr, range(32))) - {"\t"} | {"\x7f"}
OURS = frozenset({"sidekey-error"})  # tells our answers from the upstream's, so only we may set it
PROTECTED = frozenset(  # a client that lists these in Connection must not make them vanish
    {"authorization", "cache-control", "content-length", "content-type", "cookie", "host"}
)


def request_fields(received: MultiMapping[str], *, keep_credentials: bool) -> CIMultiDict[str]:
    """Return the client's end-to-end fields, in order, with every duplicate.

    Duplicates take the spelling of the first: aiohttp's client lets `X-A` after `x-a` replace it.
    `Authorization` and cookies go unless `keep_credentials`: they were never meant for this API.
    """
    dropped = HOP_BY_HOP | REWRITTEN | FROM_BROWSERS | ABOUT_THE_CLIENT | _nominated(received)
    if not keep_credentials:
        dropped |= CREDENTIALS
    spelling: dict[str, str] = {}
    return CIMultiDict(
        (spelling.setdefault(name.lower(), name), as_utf8(value))
        for name, value in received.items()
        if name.lower() not in dropped
        and not name.lower().startswith(("sec-fetch-", "x-forwarded-"))
        and sendable(value)
    )


def without_unreadable_codings(fields: CIMultiDict[str]) -> CIMultiDict[str]:
    """Return the fields with only those content codings accepted that we can look into."""
    if "Accept-Encoding" not in fields:
        return fields
    asked = ",".join(fields.getall("Accept-Encoding")).split(",")
    kept = [coding.strip() for coding in asked if _coding_name(coding) in READABLE_CODINGS]
    changed = fields.copy()
    changed["Accept-Encoding"] = ", ".join(kept) or "identity"
    return changed


def _coding_name(coding: str) -> str:
    return coding.partition(";")[0].strip().lower()


def response_fields(received: MultiMapping[str]) -> CIMultiDict[str]:
    """Return the upstream's end-to-end fields, in order, with every duplicate.

    CORS fields go: `Access-Control-Allow-Origin: *` would open answers that our credential bought
    to every web page. Cookies go: all upstreams share one origin here.
    """
    dropped = HOP_BY_HOP | TO_BROWSERS | OURS | _nominated(received)
    return CIMultiDict(
        (name, as_utf8(value))
        for name, value in received.items()
        if name.lower() not in dropped
        and not name.lower().startswith("access-control-")
        and sendable(value)
    )


def _nominated(received: MultiMapping[str]) -> frozenset[str]:
    """Return the fields that Connection declares to be hop-by-hop."""
    listed = (name.strip().lower() for name in ",".join(_all(received, "Connection")).split(","))
    return frozenset(listed) - PROTECTED


def _all(received: MultiMapping[str], name: str) -> Iterable[str]:
    return received.getall(name, ())


def sendable(value: str) -> bool:
    """Tell whether a value or reason phrase can be written: control bytes mis-frame a message."""
    return _CONTROLS.isdisjoint(value)


def as_utf8(value: str) -> str:
    """Return a value that aiohttp can write.

    It reads fields as UTF-8 and writes nothing else; other bytes are taken for Latin-1, as RFC 9110
    5.5 remembers them, so that the file name in a Content-Disposition survives.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode(errors="surrogateescape").decode("latin-1")
    return value
