"""One API call, in the order in which Misskey's ApiCallService checks it."""

from __future__ import annotations

from aiohttp import web

from proxy.sandbox.misskey.arrivals import Arrival
from proxy.sandbox.misskey.authentication import Credential, api_token, authenticate
from proxy.sandbox.misskey.content import read_params
from proxy.sandbox.misskey.drive import Upload
from proxy.sandbox.misskey.endpoints import Endpoint
from proxy.sandbox.misskey.endpoints.drive import CREATE_FILE
from proxy.sandbox.misskey.errors import (
    ACCESS_DENIED,
    CREDENTIAL_REQUIRED,
    PERMISSION_DENIED,
    ROLE_PERMISSION_DENIED,
    SUSPENDED,
    ApiError,
    invalid_param,
)
from proxy.sandbox.misskey.limits import RateLimiter
from proxy.sandbox.misskey.responses import api_response, with_api_fields
from proxy.sandbox.misskey.state import Call, State
from proxy.sandbox.misskey.uploads import read_form


async def call_endpoint(
    arrival: Arrival, name: str, endpoint: Endpoint, state: State, limiter: RateLimiter | None
) -> web.Response:
    """Run an endpoint; `limiter` is None while rate limits are off.

    Raises:
        ApiError: refused by Misskey.
        FastifyError: refused by the framework.
        NeverAnsweredError: the token is not a string.
    """
    if name == CREATE_FILE:
        return await _call_with_file(arrival, endpoint, state, limiter)
    params = await read_params(arrival, state.release)
    credential = authenticate(
        api_token(arrival.request.headers, params, state.release), state.accounts
    )
    _admit(arrival, name, endpoint, credential, limiter)
    if not isinstance(params, dict):
        raise invalid_param("#/type", "must be object")
    response = _run(endpoint, Call(state, credential, params))
    if arrival.method == "GET" and credential.user is None:
        response.headers["Cache-Control"] = f"public, max-age={endpoint.cache_seconds}"
    return response


async def _call_with_file(
    arrival: Arrival, endpoint: Endpoint, state: State, limiter: RateLimiter | None
) -> web.Response:
    if arrival.request.content_type != "multipart/form-data":
        await read_params(arrival, state.release)
        return _no_file(state)
    form = await read_form(arrival)
    if form is None or form.upload is None:
        return _no_file(state)
    try:
        params = form.params()
        credential = authenticate(
            api_token(arrival.request.headers, params, state.release), state.accounts
        )
        _admit(arrival, CREATE_FILE, endpoint, credential, limiter)
        return _run(endpoint, Call(state, credential, params, form.upload))
    finally:
        _discard_unless_kept(form.upload, state)


def _no_file(state: State) -> web.Response:
    """No multipart or no file in it: 400 without any content, before authentication."""
    return with_api_fields(web.Response(status=400), state.release)


def _discard_unless_kept(upload: Upload, state: State) -> None:
    if not state.drive.holds(upload):
        upload.content.close()


def _admit(
    arrival: Arrival,
    name: str,
    endpoint: Endpoint,
    credential: Credential,
    limiter: RateLimiter | None,
) -> None:
    """Refuse who may not call this endpoint; the limit counts before rights are looked at."""
    user, token = credential.user, credential.token
    if endpoint.secure and not credential.native:
        raise ApiError(ACCESS_DENIED)
    if limiter is not None and endpoint.limit is not None:
        limiter.spend(name, user.user_id if user else _address(arrival), endpoint.limit)
    if endpoint.credential and user is None:
        raise ApiError(CREDENTIAL_REQUIRED)
    if endpoint.credential and user is not None and user.suspended:
        raise ApiError(SUSPENDED)
    if endpoint.moderator:
        raise ApiError(ROLE_PERMISSION_DENIED)  # nobody here is a moderator
    if token is not None and endpoint.permission not in (None, *token.permission):
        raise ApiError(PERMISSION_DENIED)


def _address(arrival: Arrival) -> str:
    """Real servers trust X-Forwarded-For."""
    forwarded = arrival.request.headers.get("X-Forwarded-For", "")
    return forwarded.partition(",")[0].strip() or arrival.request.remote or ""


def _run(endpoint: Endpoint, call: Call) -> web.Response:
    for name in endpoint.required:
        if name not in call.params:
            raise invalid_param("#/required", f"must have required property '{name}'")
        if not isinstance(call.params[name], str):
            raise invalid_param(f"#/properties/{name}/type", "must be string")
    return api_response(endpoint.run(call), call.state.release)
