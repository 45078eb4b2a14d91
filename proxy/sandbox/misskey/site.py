"""What a server shows outside `/api`: stored files, nodeinfo and the pages of the front-end."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from proxy.sandbox.misskey import browser, shapes
from proxy.sandbox.misskey.accounts import User
from proxy.sandbox.misskey.arrivals import Arrival
from proxy.sandbox.misskey.content import BODY_LIMIT
from proxy.sandbox.misskey.drive import DriveFile
from proxy.sandbox.misskey.permissions import PERMISSIONS
from proxy.sandbox.misskey.responses import json_response, route_not_found
from proxy.sandbox.misskey.state import State

_NODEINFO = "http://nodeinfo.diaspora.software/ns/schema/"
_FILE_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
_WELL_KNOWN_FIELDS = {
    "Access-Control-Allow-Headers": "Accept",
    "Access-Control-Allow-Methods": "GET, OPTIONS",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Vary",
}


class Site:
    """Answers what comes in outside `/api/`; `user` is logged in on the pages."""

    def __init__(self, state: State, user: User, *, federation: bool) -> None:
        self._state = state
        self._user = user
        self._federation = federation

    async def answer(self, arrival: Arrival) -> web.StreamResponse:
        """The response to one request."""
        if arrival.method not in ("GET", "HEAD"):
            await arrival.body(BODY_LIMIT)
            return route_not_found(arrival.method, arrival.request.raw_path)
        match arrival.path.split("/")[1:]:
            case ["streaming"]:
                return _no_upgrade()
            case ["files", key, *rest]:
                return await self._file(arrival, key, subpath=bool(rest))
            case ["nodeinfo", ("2.0" | "2.1") as version]:
                return self._nodeinfo(version)
            case [".well-known", "nodeinfo"]:
                return self._nodeinfo_links()
            case [".well-known", "oauth-authorization-server"] if self._state.release.modern_shapes:
                return self._oauth_metadata()
            case ["miauth", session]:
                return browser.miauth_page(session, arrival.query, self._user)
            case ["auth", token]:
                return browser.auth_page(token, self._user)
        return browser.front_page()

    async def _file(self, arrival: Arrival, key: str, *, subpath: bool) -> web.StreamResponse:
        policy = {"Content-Security-Policy": _FILE_POLICY}
        if subpath and self._state.release.redirects_file_subpaths:
            location = f"{self._state.origin}/files/{key}"
            return web.Response(status=301, headers={**policy, "Location": location})
        file = self._state.drive.by_key(key)
        if file is None:
            return web.Response(status=404, headers={**policy, "Cache-Control": "max-age=86400"})
        return await _send_file(arrival.request, file, policy)

    def _nodeinfo_links(self) -> web.Response:
        """Closed on a new server until federation is switched on; always open on an old one."""
        versions = ("2.1", "2.0") if self._state.release.modern_shapes else ("2.0",)
        if self._state.release.modern_shapes and not self._federation:
            response = web.Response(status=403)
        else:
            response = json_response({"links": [self._nodeinfo_link(v) for v in versions]})
        response.headers.update(_WELL_KNOWN_FIELDS)
        return response

    def _nodeinfo_link(self, version: str) -> shapes.Json:
        return {"rel": _NODEINFO + version, "href": f"{self._state.origin}/nodeinfo/{version}"}

    def _nodeinfo(self, version: str) -> web.Response:
        content_type = "application/json; charset=utf-8"
        if self._state.release.modern_shapes:
            content_type = f'application/json; profile="{_NODEINFO}{version}#"; charset=utf-8'
        shape = shapes.nodeinfo(version, self._state.release)
        response = json_response(shape, content_type=content_type)
        response.headers.update(_WELL_KNOWN_FIELDS)
        response.headers["Cache-Control"] = "public, max-age=600"
        return response

    def _oauth_metadata(self) -> web.Response:
        """RFC 8414 metadata; the endpoints it names are not part of the sandbox."""
        origin = self._state.origin
        response = json_response(
            {
                "issuer": origin,
                "authorization_endpoint": f"{origin}/oauth/authorize",
                "token_endpoint": f"{origin}/oauth/token",
                "scopes_supported": PERMISSIONS,
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code"],
                "code_challenge_methods_supported": ["S256"],
            }
        )
        response.headers.update(_WELL_KNOWN_FIELDS)
        return response


def _no_upgrade() -> web.Response:
    """`/streaming` without an upgrade."""
    fields = {"X-Frame-Options": "DENY", "Cache-Control": "private, max-age=0"}
    return web.Response(status=503, headers=fields)


async def _send_file(
    request: web.Request, file: DriveFile, policy: dict[str, str]
) -> web.StreamResponse:
    ascii_name = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\' else "?" for c in file.name
    )
    disposition = f'inline; filename="{ascii_name}"'
    if ascii_name != file.name:
        disposition += f"; filename*=UTF-8''{quote(file.name, safe='')}"
    response = web.StreamResponse(
        headers={
            **policy,
            "Content-Type": file.media_type,
            "Content-Length": str(file.upload.size),
            "Cache-Control": "max-age=31536000, immutable",
            "Content-Disposition": disposition,
        }
    )
    await response.prepare(request)
    if request.method == "GET":
        for chunk in file.chunks():
            await response.write(chunk)
    await response.write_eof()
    return response
