"""SidekeyError -> problem details (RFC 9457)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from aiohttp import web

from proxy.errors import SidekeyError
from proxy.refusals import BadMessage

ERROR_FIELD = "Sidekey-Error"
PROTECTION = {  # of answers that are our own: nobody may keep them, sniff them or embed them
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def problem(
    error: SidekeyError, request_id: str, *, masked: Callable[[str], str] = str
) -> web.Response:
    """Return the answer that says what went wrong, whose fault it is, and what to do.

    `masked` takes the secrets out of its words.
    """
    members = {
        "type": f"urn:sidekey:problem:{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": masked(error.detail),
        "upstream": error.upstream,
        "fix": masked(error.fix) if error.fix else None,
        "request_id": request_id,
    }
    said = {name: value for name, value in members.items() if value is not None}
    headers = {ERROR_FIELD: error.slug, **PROTECTION, **dict(error.fields)}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    response = web.Response(
        status=error.status,
        body=json.dumps(said, ensure_ascii=False).encode() + b"\n",
        headers=headers,
        content_type="application/problem+json",
    )
    if isinstance(error, BadMessage):
        response.force_close()  # what follows may be a part of it, and no request
    return response
