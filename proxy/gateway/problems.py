"""SidekeyError -> problem details (RFC 9457)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

from aiohttp import web

from proxy.errors import SidekeyError, SignInRequired
from proxy.observe.markup import Markup, element, html_page
from proxy.refusals import BadMessage, ClientHeaderRequired

ERROR_FIELD = "Sidekey-Error"
PROTECTION = {  # of answers that are our own: nobody may keep them, sniff them or embed them
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def problem(
    error: SidekeyError,
    request_id: str,
    *,
    masked: Callable[[str], str] = str,
    origin: str | None = None,
    as_page: bool = False,
) -> web.Response:
    """Return the answer that says what went wrong, whose fault it is, and what to do.

    `masked` takes the secrets out of its words, `origin` is where a browser reaches us. `as_page`
    says the same to a human.
    """
    members = {
        # A path: it leads to the page of the proxy that answered (RFC 9457 section 3.1.1).
        "type": f"/_sidekey/problems/{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": masked(error.detail),
        "upstream": error.upstream,
        "fix": masked(error.fix) if error.fix else None,
        "login_url": login_url(error, origin),
        "header": error.header if isinstance(error, ClientHeaderRequired) else None,
        "request_id": request_id,
    }
    said = {name: value for name, value in members.items() if value is not None}
    response = _page(error, said) if as_page else _document(error, said)
    response.headers.update({ERROR_FIELD: error.slug, **dict(error.fields)})
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, BadMessage):
        response.force_close()  # what follows may be a part of it, and no request
    return response


def login_url(error: SidekeyError, origin: str | None) -> str | None:
    """Return where a human signs in with a browser, if that is what the error asks for."""
    if origin is None or error.upstream is None or not isinstance(error, SignInRequired):
        return None
    return f"{origin}/_sidekey/login/{error.upstream}"


def _document(error: SidekeyError, said: Mapping[str, object]) -> web.Response:
    return web.Response(
        status=error.status,
        body=json.dumps(said, ensure_ascii=False).encode() + b"\n",
        headers=PROTECTION,
        content_type="application/problem+json",
    )


def _page(error: SidekeyError, said: Mapping[str, object]) -> web.Response:
    fix: list[Markup] = []
    if "fix" in said:
        fix.append(element("p", element("strong", "What helps: "), str(said["fix"])))
    about = element("a", error.slug, href=f"/_sidekey/problems/{error.slug}")
    return html_page(
        error.title,
        element("p", str(said["detail"]), class_="problem"),
        *fix,
        element("p", "About this problem: ", about),
        element("p", f"Request {said['request_id']}"),
        status=error.status,
    )
