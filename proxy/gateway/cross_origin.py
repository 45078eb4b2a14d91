"""What browsers are told when a page of an allowed origin calls (Fetch standard, CORS)."""

from __future__ import annotations

from aiohttp import web

REMEMBERED = "600"  # seconds for which a browser need not ask again


def readable_by(origin: str) -> dict[str, str]:
    """Return the fields that let a page of `origin` read an answer."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Origin",
    }


def permission(request: web.BaseRequest, origin: str) -> web.Response:
    """Return the answer to a preflight: what the page asks for, it may do."""
    asked = request.headers
    fields = readable_by(origin) | {
        "Access-Control-Allow-Methods": asked["Access-Control-Request-Method"],
        "Access-Control-Max-Age": REMEMBERED,
    }
    if "Access-Control-Request-Headers" in asked:
        fields["Access-Control-Allow-Headers"] = asked["Access-Control-Request-Headers"]
    return web.Response(status=204, headers=fields)
