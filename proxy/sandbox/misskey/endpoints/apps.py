"""Endpoints that lead an app to its token: MiAuth and the legacy flow."""

from __future__ import annotations

from proxy.sandbox.misskey import shapes
from proxy.sandbox.misskey.endpoints.endpoint import Endpoint, Endpoints
from proxy.sandbox.misskey.errors import ApiError, ErrorSpec, invalid_param
from proxy.sandbox.misskey.state import Call, State


def _no_such_session(error_id: str) -> ErrorSpec:
    return ErrorSpec("No such session.", "NO_SUCH_SESSION", error_id)


NO_SUCH_SESSION_TO_SHOW = _no_such_session("bd72c97d-eba7-4adb-a467-f171b8847250")
NO_SUCH_SESSION_TO_ACCEPT = _no_such_session("9c72d8de-391a-43c1-9d06-08d29efde8df")
NO_SUCH_SESSION_FOR_KEY = _no_such_session("5b5a1503-8bc8-4bd0-8054-dc189e8cdcb3")
NO_SUCH_APP = ErrorSpec("No such app.", "NO_SUCH_APP", "92f93e63-428e-4f2f-a5a4-39e1407fe998")
NO_SUCH_APP_FOR_KEY = ErrorSpec(
    "No such app.", "NO_SUCH_APP", "fcab192a-2c5a-43b7-8ad8-9b7054d8d40d"
)
PENDING_SESSION = ErrorSpec(
    "This session is not completed yet.",
    "PENDING_SESSION",
    "8c8a4145-02cc-4cca-8e66-29ba60445a8e",
)


def check(state: State, session: str) -> object:
    """`POST /api/miauth/{session}/check`: the token once, `{"ok": false}` in all other cases.

    A real server can answer two simultaneous checks with the token; this one never does.
    """
    token = state.accounts.fetch(session)
    if token is None:
        return {"ok": False}
    return {"ok": True, "token": token.value, "user": state.user_json(token.user)}


def generate_token(call: Call) -> object:
    """MiAuth's token, made when the user accepts; neither session nor names are checked."""
    if "session" not in call.params:
        raise invalid_param("#/required", "must have required property 'session'")
    _require_permission(call)
    token = call.state.accounts.issue(
        call.user, call.texts("permission"), session=call.text("session")
    )
    return {"token": token.value}


def create_app(call: Call) -> object:
    """Register an app of the legacy flow."""
    _require_permission(call)
    app = call.state.accounts.create_app(
        call.text("name") or "", call.texts("permission"), call.text("callbackUrl")
    )
    return {**shapes.app(app), "secret": app.secret}


def generate_session(call: Call) -> object:
    """Begin the legacy flow; the URL is the page where the user accepts."""
    app = call.state.accounts.apps.get(call.text("appSecret") or "")
    if app is None:
        raise ApiError(NO_SUCH_APP)
    token = call.state.accounts.begin_session(app).token
    return {"token": token, "url": f"{call.state.origin}/auth/{token}"}


def show_session(call: Call) -> object:
    """The app that a session is for."""
    session = call.state.accounts.auth_sessions.get(call.text("token") or "")
    if session is None:
        raise ApiError(NO_SUCH_SESSION_TO_SHOW)
    return shapes.auth_session(session)


def accept(call: Call) -> None:
    """The user accepts a session; accepting twice is no error."""
    session = call.state.accounts.auth_sessions.get(call.text("token") or "")
    if session is None:
        raise ApiError(NO_SUCH_SESSION_TO_ACCEPT)
    call.state.accounts.accept(session, call.user)


def user_key(call: Call) -> object:
    """The token of an accepted session; the session is gone afterwards."""
    accounts = call.state.accounts
    app = accounts.apps.get(call.text("appSecret") or "")
    if app is None:
        raise ApiError(NO_SUCH_APP_FOR_KEY)
    session = accounts.auth_sessions.get(call.text("token") or "")
    if session is None or session.app is not app:
        raise ApiError(NO_SUCH_SESSION_FOR_KEY)
    token = accounts.app_token(app, session.user) if session.user else None
    if token is None:
        raise ApiError(PENDING_SESSION)
    del accounts.auth_sessions[session.token]
    return {"accessToken": token.value, "user": call.state.user_json(token.user)}


def _require_permission(call: Call) -> None:
    if not isinstance(call.params.get("permission"), list):
        raise invalid_param("#/required", "must have required property 'permission'")


ENDPOINTS: Endpoints = {
    "miauth/gen-token": Endpoint(run=generate_token, credential=True, secure=True),
    "app/create": Endpoint(run=create_app, required=("name", "description")),
    "auth/session/generate": Endpoint(run=generate_session, required=("appSecret",)),
    "auth/session/show": Endpoint(run=show_session, required=("token",)),
    "auth/session/userkey": Endpoint(run=user_key, required=("appSecret", "token")),
    "auth/accept": Endpoint(run=accept, credential=True, secure=True, required=("token",)),
}
