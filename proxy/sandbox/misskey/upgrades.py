"""The handshake of the streaming API, as Misskey and the `ws` library do it on raw sockets."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from proxy.sandbox.misskey.authentication import Credential, authenticate, bearer_token
from proxy.sandbox.misskey.content import query_params
from proxy.sandbox.misskey.errors import ApiError
from proxy.sandbox.misskey.release import Release
from proxy.sandbox.misskey.state import State

_NOT_AUTHENTICATED = (
    'WWW-Authenticate: Bearer realm="Misskey", error="invalid_token", '
    'error_description="Failed to authenticate"'
)
_WRONG_VERSION = "Missing or invalid Sec-WebSocket-Version header"


def wants_upgrade(request: web.Request) -> bool:
    """Whether this is a WebSocket handshake; Misskey accepts one on any path."""
    connection = request.headers.get("Connection", "").lower()
    return "upgrade" in connection and request.headers.get("Upgrade", "").lower() == "websocket"


async def upgrade(request: web.Request, query: str, state: State) -> web.StreamResponse:
    """Let the connection in, or refuse it and close the socket."""
    try:
        credential = authenticate(_token(request, query, state.release), state.accounts)
    except ApiError:
        return _refuse(request, HTTPStatus.UNAUTHORIZED, *_reason(state.release))
    if credential.user is not None and credential.user.suspended:
        return _refuse(request, HTTPStatus.FORBIDDEN)
    if state.release.account_needs_scope and not _may_read_account(credential):
        return _refuse(request, HTTPStatus.UNAUTHORIZED, *_reason(state.release))
    if request.headers.get("Sec-WebSocket-Version") not in ("13", "8"):
        return _refuse_version(request)
    return await state.streams.serve(request, credential.user)


def _token(request: web.Request, query: str, release: Release) -> str | None:
    """The header wins over the query, where the first `i` counts."""
    bearer = bearer_token(request.headers, release)
    if bearer is not None:
        return bearer
    token = query_params(query).get("i")
    return str(token[0]) if isinstance(token, list) else token if isinstance(token, str) else None


def _may_read_account(credential: Credential) -> bool:
    return credential.token is None or "read:account" in credential.token.permission


def _reason(release: Release) -> tuple[str, ...]:
    return (_NOT_AUTHENTICATED,) if release.tells_authentication_scheme else ()


def _refuse_version(request: web.Request) -> web.Response:
    return _refuse(
        request,
        HTTPStatus.BAD_REQUEST,
        "Connection: close",
        "Content-Type: text/html",
        f"Content-Length: {len(_WRONG_VERSION)}",
        "Sec-WebSocket-Version: 13, 8",
        content=_WRONG_VERSION,
    )


def _refuse(
    request: web.Request, status: HTTPStatus, *fields: str, content: str = ""
) -> web.Response:
    """Write the refusal past aiohttp, which would add fields of its own, and close."""
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *fields, "", content]
    if request.transport is not None:
        request.transport.write("\r\n".join(lines).encode())
        request.transport.close()
    return web.Response(status=status)  # for aiohttp's own books: the socket is closed
