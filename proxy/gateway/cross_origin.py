"""What browsers are told when a page of an allowed origin calls (Fetch standard, CORS)."""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDict

REMEMBERED = "600"  # seconds for which a browser need not ask again


def let_read(headers: CIMultiDict[str], origin: str) -> None:
    """Change the fields of an answer so that a page of `origin` can read it."""
    headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Expose-Headers"] = "*"
    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    headers.add("Vary", "Origin")


def permission(request: web.BaseRequest) -> web.Response:
    """Return the answer to the preflight of a page that may call: what it asks for, it may do."""
    asked = request.headers
    answer = web.Response(status=204)
    let_read(answer.headers, asked["Origin"])
    answer.headers["Access-Control-Allow-Methods"] = asked["Access-Control-Request-Method"]
    answer.headers["Access-Control-Max-Age"] = REMEMBERED
    if "Access-Control-Request-Headers" in asked:
        answer.headers["Access-Control-Allow-Headers"] = asked["Access-Control-Request-Headers"]
    return answer
