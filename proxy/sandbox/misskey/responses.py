"""Answers with the header fields that a Misskey server gives them."""

from __future__ import annotations

import json

from aiohttp import web

from proxy.sandbox.misskey.errors import AUTHENTICATION_FAILED, ApiError, FastifyError
from proxy.sandbox.misskey.release import Release

JSON_TYPE = "application/json; charset=utf-8"

_REASONS = {
    400: "Bad Request",
    404: "Not Found",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
}


def compact_json(value: object) -> bytes:
    """JSON without spaces, non-ASCII characters as themselves, like JavaScript's."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_response(value: object, status: int = 200, content_type: str = JSON_TYPE) -> web.Response:
    """A JSON answer without further fields."""
    return web.Response(
        body=compact_json(value), status=status, headers={"Content-Type": content_type}
    )


def api_response(value: object, release: Release) -> web.Response:
    """The result of an endpoint; None is 204 with neither content nor type."""
    response = web.Response(status=204) if value is None else json_response(value)
    return with_api_fields(response, release)


def with_api_fields(response: web.Response, release: Release) -> web.Response:
    """Add what every matched path under `/api` answers with."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cache-Control"] = "private, max-age=0, must-revalidate"
    if release.varies_by_origin:
        response.headers["Vary"] = "Origin"
    return response


def api_error_response(error: ApiError, release: Release) -> web.Response:
    """Misskey's own envelope with its status, WWW-Authenticate and Retry-After."""
    spec = error.spec
    envelope: dict[str, object] = {
        "message": spec.message,
        "code": spec.code,
        "id": spec.error_id,
        "kind": spec.kind,
    }
    if error.info is not None and (spec.status != 429 or release.tells_retry_after):
        envelope["info"] = error.info
    status = release.bad_token_status if spec is AUTHENTICATION_FAILED else spec.status
    response = json_response({"error": envelope}, status)
    scheme = _authentication_scheme(error)
    if scheme and release.tells_authentication_scheme:
        response.headers["WWW-Authenticate"] = scheme
    if error.retry_after and release.tells_retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return with_api_fields(response, release)


def fastify_error_response(error: FastifyError) -> web.Response:
    """The shape of the framework's own errors: no envelope, no WWW-Authenticate."""
    body: dict[str, object] = {"statusCode": error.status}
    if error.code is not None:
        body["code"] = error.code
    body |= {"error": _REASONS[error.status], "message": error.message}
    response = json_response(body, error.status)
    if error.status == 413:
        response.force_close()
    return response


def route_not_found(method: str, target: str) -> web.Response:
    """Fastify's 404, which echoes the target and has no CORS fields."""
    message = f"Route {method}:{target} not found"
    return json_response({"message": message, "error": "Not Found", "statusCode": 404}, 404)


def _authentication_scheme(error: ApiError) -> str | None:
    """The WWW-Authenticate that goes with an error; roles, limits and 5xx have none."""
    spec = error.spec
    if spec.code == "CREDENTIAL_REQUIRED":
        return 'Bearer realm="Misskey"'
    if spec is AUTHENTICATION_FAILED:
        reason = "invalid_token"
    elif spec.code == "PERMISSION_DENIED":
        reason = "insufficient_scope"
    elif spec.kind == "client" and spec.code not in ("RATE_LIMIT_EXCEEDED", "UNKNOWN_API_ENDPOINT"):
        reason = "invalid_request"
    else:
        return None
    return f'Bearer realm="Misskey", error="{reason}", error_description="{spec.message}"'
