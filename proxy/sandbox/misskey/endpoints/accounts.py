"""Endpoints about users and the tokens that they gave away."""

from __future__ import annotations

from proxy.sandbox.misskey.accounts import NATIVE_TOKEN_LENGTH
from proxy.sandbox.misskey.endpoints.endpoint import Endpoint, Endpoints
from proxy.sandbox.misskey.errors import ApiError, ErrorSpec, invalid_param
from proxy.sandbox.misskey.identifiers import new_token
from proxy.sandbox.misskey.release import Release
from proxy.sandbox.misskey.state import Call

NO_SUCH_USER = ErrorSpec(
    "No such user.", "NO_SUCH_USER", "4362f8dc-731f-4ad8-a694-be5a88922a24", 404
)


def endpoints(release: Release) -> Endpoints:
    """The endpoints of this group."""
    scope = "read:account" if release.account_needs_scope else None
    return {
        "i": Endpoint(run=show_me, credential=True, permission=scope),
        "i/revoke-token": Endpoint(run=revoke_token, credential=True, secure=True),
        "i/regenerate-token": Endpoint(
            run=regenerate_token, credential=True, secure=True, required=("password",)
        ),
        "users/show": Endpoint(run=show_user),
    }


def show_me(call: Call) -> object:
    """The calling user."""
    return call.state.user_json(call.user)


def show_user(call: Call) -> object:
    """A user by id or name."""
    for user in call.state.accounts.users.values():
        if call.text("userId") == user.user_id or call.text("username") == user.username:
            return call.state.user_json(user)
    raise ApiError(NO_SUCH_USER)


def revoke_token(call: Call) -> None:
    """Make one of the user's tokens unknown; an unknown one is no error."""
    token_id, value = call.text("tokenId"), call.text("token")
    if not call.state.release.revokes_by_value:
        value = None
        if token_id is None:
            raise invalid_param("#/required", "must have required property 'tokenId'")
    if token_id is None and value is None:
        raise invalid_param("#/anyOf/0/required", "must have required property 'tokenId'")
    for token in list(call.state.accounts.tokens):
        if token.user is call.user and (token.token_id == token_id or token.value == value):
            call.state.accounts.revoke(token)


def regenerate_token(call: Call) -> None:
    """Give the user a new native token; any password is right."""
    call.user.native_token = new_token(NATIVE_TOKEN_LENGTH)
