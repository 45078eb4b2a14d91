"""Request content as Fastify parses it before Misskey sees it."""

from __future__ import annotations

import codecs
import json
from urllib.parse import parse_qsl

from proxy.sandbox.misskey.arrivals import Arrival
from proxy.sandbox.misskey.errors import FastifyError
from proxy.sandbox.misskey.release import Release

BODY_LIMIT = 1024 * 1024
"""Bytes of a JSON body, Fastify's default."""

_NOT_JSON = "Body is not valid JSON but content-type is set to 'application/json'"
_EMPTY_JSON = "Body cannot be empty when content-type is set to 'application/json'"


async def read_params(arrival: Arrival, release: Release) -> object:
    """What Misskey takes the parameters from: the query of a GET, else the parsed body.

    A body that is text, multipart or not there counts as "no object", which is None.

    Raises:
        FastifyError: 400, 413 or 415, in Fastify's own shape.
    """
    if arrival.method == "GET":
        return query_params(arrival.query)
    content_type = arrival.request.headers.get("Content-Type")
    body = await arrival.body(BODY_LIMIT)
    if content_type is None and not _has_body(arrival):
        return None
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return None
    if media_type not in ("application/json", "text/plain"):
        message = f"Unsupported Media Type: {content_type or 'undefined'}"
        raise FastifyError(415, message, "FST_ERR_CTP_INVALID_MEDIA_TYPE")
    if body is None:
        raise FastifyError(413, "Request body is too large", "FST_ERR_CTP_BODY_TOO_LARGE")
    return None if media_type == "text/plain" else _parse_json(body, release)


def query_params(query: str) -> dict[str, object]:
    """The query as Fastify reads it: a name that comes twice has a list of values."""
    params: dict[str, object] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        earlier = params.get(name)
        if earlier is None:
            params[name] = value
        elif isinstance(earlier, list):
            earlier.append(value)
        else:
            params[name] = [earlier, value]
    return params


def _has_body(arrival: Arrival) -> bool:
    headers = arrival.request.headers
    return "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"


def _parse_json(body: bytes, release: Release) -> object:
    if not body:
        raise FastifyError(400, _EMPTY_JSON, "FST_ERR_CTP_EMPTY_JSON_BODY")
    text = body.removeprefix(codecs.BOM_UTF8).decode(errors="replace")
    try:
        return json.loads(text, object_pairs_hook=_safe_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if release.names_json_errors:
            raise FastifyError(400, _NOT_JSON, "FST_ERR_CTP_INVALID_JSON_BODY") from error
        raise FastifyError(400, _parser_message(error, text)) from error


def _safe_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The last of two equal names wins; the names that reach JavaScript prototypes are refused."""
    members = dict(pairs)
    constructor = members.get("constructor")
    if "__proto__" in members or (isinstance(constructor, dict) and "prototype" in constructor):
        raise ValueError("Object contains forbidden prototype property")
    return members


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _parser_message(error: Exception, text: str) -> str:
    """The words of V8's parser, as far as they were recorded."""
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    if error.pos >= len(text):
        return "Unexpected end of JSON input"
    return f"Unexpected token {text[error.pos]} in JSON at position {error.pos}"
