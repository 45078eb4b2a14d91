"""The Fujitsu AI service portal: API keys, client credentials and the older token calls.

Sources: the vendor's authentication guide. The field names of `/auth/v1/tokens` and the wording of
errors are not public; here they follow `accessToken`, the one name that the guide gives, and the
status codes that clients written against the vendor's OpenAPI document expect.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from aiohttp import BasicAuth, web
from aiohttp.typedefs import Handler

from proxy.sandbox.recording import Recording

ECHOED_HEADERS = ("Job_ID", "X-Blob-Sas-Token", "X-Storage-Account-Name")
"""Request headers that services read; the result of a job echoes them. One has an underscore."""

_FORM = "application/x-www-form-urlencoded"
_MESSAGES = {
    404: "Not found.",
    405: "Method not allowed.",
    413: "Request entity too large.",
    429: "Too many requests.",
}


@dataclass(slots=True)
class _Grant:
    """What a refresh token of the older calls stands for."""

    expires_at: datetime
    access_token: str


class Portal:
    """One group of the portal: a primary and a secondary API key, and one OAuth client.

    Token calls are under `/auth`, the Digital Annealer service under `/da`. A missing or malformed
    credential header is 400; an unknown or expired credential is `rejection_status` (whether the
    real one says 401 or 403 is not public). `token_status` is that of an issued token: some of the
    vendor's token endpoints say 201. `tells_lifetime` adds `expires_in` to `/auth/v2/tokens`.
    """

    def __init__(
        self,
        primary: str = "demo-primary-key",
        secondary: str = "demo-secondary-key",
        *,
        client_id: str = "demo-client",
        client_secret: str = "demo-client-secret",
        token_life: timedelta = timedelta(hours=1),
        refresh_token_life: timedelta = timedelta(days=1),
        rotates_refresh_token: bool = False,
        token_status: int = 200,
        tells_lifetime: bool = True,
        rejection_status: int = 401,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = {"primary": primary, "secondary": secondary}
        self._client = (client_id, client_secret)
        self._token_life = token_life
        self._refresh_token_life = refresh_token_life
        self._rotates_refresh_token = rotates_refresh_token
        self._token_status = token_status
        self._tells_lifetime = tells_lifetime
        self._rejection_status = rejection_status
        self._now = now
        self._tokens: dict[str, datetime] = {}
        self._grants: dict[str, _Grant] = {}
        self._jobs: dict[str, datetime] = {}
        self._recording = Recording(_error)
        self.calls = self._recording.calls
        self.requests = self._recording.requests
        self.faults = self._recording.faults
        self.jobs_created = 0
        """How many jobs were ever submitted; each one costs money at the real service."""

    def application(self) -> web.Application:
        result = "/da/v3/async/jobs/result/{id}"
        return self._recording.application(
            [
                web.post("/auth/v2/tokens", self._client_credentials),
                web.post("/auth/v1/tokens", self._log_in),
                web.patch("/auth/v1/tokens", self._refresh),
                web.get("/da/v1/healthcheck", self._authorized(_healthcheck)),
                web.post("/da/v3/async/qubo/solve", self._authorized(self._solve)),
                web.get("/da/v3/async/jobs", self._authorized(self._list_jobs)),
                web.get(result, self._authorized(self._result)),
                web.delete(result, self._authorized(self._delete_job)),
            ]
        )

    def revoke_key(self, which: Literal["primary", "secondary"]) -> None:
        """Reissue one API key in the portal, so that the old one is no longer good."""
        self._keys[which] = secrets.token_hex(32)

    def revoke_tokens(self) -> None:
        """Make every access token that was issued so far invalid."""
        self._tokens.clear()

    async def _client_credentials(self, request: web.Request) -> web.Response:
        """RFC 6749 section 4.4, with client_secret_basic."""
        if request.content_type != _FORM:
            return _oauth_error(400, "invalid_request", f"Content-Type must be {_FORM}")
        if _basic(request) != self._client:
            return _oauth_error(401, "invalid_client", "Client authentication failed")
        grant_type = (await request.post()).get("grant_type")
        if grant_type is None:
            return _oauth_error(400, "invalid_request", "grant_type is required")
        if grant_type != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", "Use client_credentials")
        content: dict[str, Any] = {"access_token": self._issue(), "token_type": "Bearer"}
        if self._tells_lifetime:
            content["expires_in"] = int(self._token_life.total_seconds())
        return _token_answer(content, self._token_status)

    async def _log_in(self, request: web.Request) -> web.Response:
        fields = await _json_object(request)
        if fields is None or "clientId" not in fields or "clientSecret" not in fields:
            return _refusal(400, "clientId and clientSecret are required.")
        if (fields["clientId"], fields["clientSecret"]) != self._client:
            return _refusal(401, "clientId or clientSecret is incorrect.")
        access_token = self._issue()
        refresh_token = self._grant(access_token)
        content = {"accessToken": access_token, "refreshToken": refresh_token}
        return _token_answer(content, self._token_status)

    async def _refresh(self, request: web.Request) -> web.Response:
        """Only good while the access token lives, although the refresh token lives longer."""
        fields = await _json_object(request)
        refresh_token = None if fields is None else fields.get("refreshToken")
        if not isinstance(refresh_token, str):
            return _refusal(400, "refreshToken is required.")
        grant = self._grants.get(refresh_token)
        if grant is None or self._now() >= grant.expires_at:
            return _refusal(401, "The refresh token is invalid or expired.")
        if not self._is_alive(grant.access_token):
            return _refusal(401, "The access token has expired.")
        grant.access_token = self._issue()
        content = {"accessToken": grant.access_token}
        if self._rotates_refresh_token:
            del self._grants[refresh_token]
            content["refreshToken"] = self._grant(grant.access_token)
        return _token_answer(content, self._token_status)

    def _issue(self) -> str:
        token = secrets.token_urlsafe(48)
        self._tokens[token] = self._now() + self._token_life
        return token

    def _grant(self, access_token: str) -> str:
        refresh_token = secrets.token_urlsafe(48)
        expires_at = self._now() + self._refresh_token_life
        self._grants[refresh_token] = _Grant(expires_at, access_token)
        return refresh_token

    def _is_alive(self, token: str) -> bool:
        return token in self._tokens and self._now() < self._tokens[token]

    def _authorized(self, endpoint: Handler) -> Handler:
        async def authorized(request: web.Request) -> web.StreamResponse:
            for header, is_good in (
                ("X-Access-Token", self._is_alive),
                ("X-Api-Key", self._is_key),
            ):
                values = request.headers.getall(header, [])
                if not values:
                    continue
                if len(values) > 1 or not values[0] or " " in values[0]:
                    return _refusal(400, f"Invalid request header: {header}")
                if not is_good(values[0]):
                    return _refusal(self._rejection_status, f"{header} is invalid or expired.")
                return await endpoint(request)
            return _refusal(400, "Invalid request header: X-Access-Token or X-Api-Key is required")

        return authorized

    def _is_key(self, key: str) -> bool:
        return key in self._keys.values()

    async def _solve(self, request: web.Request) -> web.Response:
        """Create one more job per call, even if the problem is the same: not idempotent."""
        if await _json_object(request) is None:
            return _refusal(400, "The request body is not a JSON object.")
        self.jobs_created += 1
        job_id = f"{secrets.token_hex(16)}-{self.jobs_created}"
        self._jobs[job_id] = self._now()
        return web.json_response({"job_id": job_id})

    async def _list_jobs(self, _: web.Request) -> web.Response:
        jobs = [
            {"job_id": job_id, "job_status": "Done", "start_time": started.isoformat()}
            for job_id, started in self._jobs.items()
        ]
        return web.json_response({"job_status_list": jobs})

    async def _result(self, request: web.Request) -> web.Response:
        if request.match_info["id"] not in self._jobs:
            return _error(404)
        echoed = {name: request.headers[name] for name in ECHOED_HEADERS if name in request.headers}
        return web.json_response(_solution("Done"), headers=echoed)

    async def _delete_job(self, request: web.Request) -> web.Response:
        if self._jobs.pop(request.match_info["id"], None) is None:
            return _error(404)
        return web.json_response(_solution("Deleted"))


async def _healthcheck(_: web.Request) -> web.Response:
    return web.json_response({"status": "OK"})


def _solution(status: str) -> dict[str, Any]:
    solution = {"energy": -3.0, "frequency": 1, "configuration": {"1": True, "2": False}}
    return {
        "status": status,
        "qubo_solution": {"result_status": True, "solutions": [solution]},
    }


def _basic(request: web.Request) -> tuple[str, str] | None:
    try:
        given = BasicAuth.decode(request.headers.get("Authorization", ""), encoding="utf-8")
    except ValueError:
        return None
    return given.login, given.password


async def _json_object(request: web.Request) -> dict[str, Any] | None:
    try:
        fields = json.loads(await request.read())
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _token_answer(content: dict[str, Any], status: int) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.json_response(content, status=status, headers=headers)


def _oauth_error(status: int, code: str, description: str) -> web.Response:
    """RFC 6749 section 5.2."""
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="tokens"'
    content = {"error": code, "error_description": description}
    return web.json_response(content, status=status, headers=headers)


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


def _error(status: int) -> web.Response:
    return _refusal(status, _MESSAGES.get(status, "Internal server error."))
