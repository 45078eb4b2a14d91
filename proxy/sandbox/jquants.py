"""What both generations of the J-Quants API do alike: error texts, gzip, dates, paging.

Source: the vendor's pages on common attention points and response status.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from aiohttp import web

from proxy.sandbox.market import (
    COMPANIES,
    FIRST_DAY,
    LAST_DAY,
    LAST_TRADING_DAY,
    Bar,
    Company,
    bars,
    company,
)

Row = dict[str, Any]

PAGE_SIZE = 3
"""Rows per page: so small that eight companies already make three pages."""

_MESSAGES = {
    403: "Missing Authentication Token. The method or resources may not be supported.",
    413: "Response data is too large. Specify parameters to reduce the acquired data range.",
    429: "Too Many Requests. Please try again later.",
    500: "Unexpected error. Please try again later.",
}

_AM_NOT_AVAILABLE = (
    "The morning session prices are not available at this time. Please try again later."
)
"""Only the status 210 is documented; the wording is ours."""


class BadParameter(ValueError):
    """A query that the vendor answers with 400; the text is the answer's message."""


def error(status: int) -> web.Response:
    """Answer an error without `Retry-After`, which the vendor sends with no status.

    An unknown path and a wrong method are 403: the gateway in front answers them so.
    """
    status = 403 if status in (404, 405) else status
    return _json_response({"message": _MESSAGES.get(status, _MESSAGES[500])}, status)


def refusal(status: int, message: str) -> web.Response:
    return _json_response({"message": message}, status)


def answer(request: web.Request, content: Mapping[str, Any], status: int = 200) -> web.Response:
    """Answer JSON, as gzip if the client accepts it."""
    response = _json_response(content, status)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def morning_not_available(request: web.Request) -> web.Response:
    """Answer 210, the vendor's own status for data that are not there (yet)."""
    return answer(request, {"message": _AM_NOT_AVAILABLE}, 210)


def page(request: web.Request, key: str, rows: Sequence[Row]) -> Row:
    """Cut out the page that the request's `pagination_key` names.

    The key changes with each page, and belongs to the query that it was given for. The last page
    has none. Raises BadParameter for a key of another query.
    """
    fingerprint = _fingerprint(request.query)
    start = _start(request.query.get("pagination_key", ""), fingerprint)
    end = start + PAGE_SIZE
    content: Row = {key: list(rows[start:end])}
    if end < len(rows):
        content["pagination_key"] = f"{fingerprint}.{end}."
    return content


def wanted_bars(request: web.Request) -> list[Bar]:
    """Read `code`, `date`, `from` and `to`. An empty parameter counts as absent.

    Raises BadParameter if neither a code nor a date is given, or if a date is malformed.
    """
    query = request.query
    code, day = query.get("code", ""), query.get("date", "")
    if not code and not day:
        raise BadParameter("This API requires at least 1 parameter as follows; date, code")
    listed = company(code) if code else None
    if code and listed is None:
        return []
    if day:
        return bars(listed, parse_date(day), parse_date(day))
    return bars(listed, *period(request))


def wanted_companies(request: web.Request) -> Sequence[Company]:
    code = request.query.get("code", "")
    if not code:
        return COMPANIES
    listed = company(code)
    return () if listed is None else (listed,)


def reference_date(request: web.Request) -> str:
    """The `date` parameter, or the last trading day, as YYYY-MM-DD."""
    day = request.query.get("date", "")
    return (parse_date(day) if day else LAST_TRADING_DAY).isoformat()


def period(request: web.Request) -> tuple[date, date]:
    """The `from` and `to` parameters. Raises BadParameter if one is malformed."""
    first, last = request.query.get("from", ""), request.query.get("to", "")
    return (
        parse_date(first) if first else FIRST_DAY,
        parse_date(last) if last else LAST_DAY,
    )


def parse_date(text: str) -> date:
    """Read YYYY-MM-DD or YYYYMMDD. Raises BadParameter."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadParameter("'date' must be YYYYMMDD or YYYY-MM-DD.") from None


def _fingerprint(query: Mapping[str, str]) -> str:
    parameters = sorted((k, v) for k, v in query.items() if k != "pagination_key")
    return hashlib.sha256(repr(parameters).encode()).hexdigest()[:16]


def _start(pagination_key: str, fingerprint: str) -> int:
    if not pagination_key:
        return 0
    given, _, position = pagination_key.partition(".")
    if given != fingerprint or not position.removesuffix(".").isdigit():
        raise BadParameter("'pagination_key' does not belong to this query.")
    return int(position.removesuffix("."))


def _json_response(content: Mapping[str, Any], status: int) -> web.Response:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return web.Response(body=text.encode(), status=status, content_type="application/json")
