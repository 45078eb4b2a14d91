"""Endpoints about the server itself, and those that exist for one recorded refusal only."""

from __future__ import annotations

from proxy.sandbox.misskey import shapes
from proxy.sandbox.misskey.endpoints.endpoint import Endpoint, Endpoints
from proxy.sandbox.misskey.errors import ApiError, ErrorSpec
from proxy.sandbox.misskey.limits import Limit
from proxy.sandbox.misskey.release import Release
from proxy.sandbox.misskey.state import Call

NO_SUCH_OBJECT = ErrorSpec(
    "No such object.", "NO_SUCH_OBJECT", "dc94d745-1262-4e63-a17d-fecaa57efc82"
)
_NO_NOTES = {
    "total": [0],
    "inc": [0],
    "dec": [0],
    "diffs": {"normal": [0], "reply": [0], "renote": [0], "withFile": [0]},
}


def endpoints(release: Release) -> Endpoints:
    """The endpoints of this group."""
    return {
        "meta": Endpoint(run=meta),
        "stats": Endpoint(run=stats),
        "emojis": Endpoint(run=lambda _: {"emojis": []}, cache_seconds=3600),
        "get-online-users-count": Endpoint(
            run=lambda _: {"count": 0},
            cache_seconds=60 if release.online_count_by_get else None,
        ),
        "charts/notes": Endpoint(
            run=lambda _: {"local": _NO_NOTES, "remote": _NO_NOTES}, cache_seconds=3600
        ),
        "username/available": Endpoint(run=username_available, required=("username",)),
        "request-reset-password": Endpoint(
            run=lambda _: None, limit=Limit(3), required=("username", "email")
        ),
        "ap/show": Endpoint(
            run=show_remote, credential=True, permission="read:account", limit=Limit(30)
        ),
        "admin/show-users": Endpoint(run=lambda _: [], credential=True, moderator=True),
    }


def meta(call: Call) -> object:
    """What the server says about itself; tells its version to whoever asks."""
    return shapes.meta(call.state.origin, call.state.release)


def stats(call: Call) -> object:
    """Counts of the local users and notes."""
    notes, users = len(call.state.notes), len(call.state.accounts.users)
    return {
        "notesCount": notes,
        "originalNotesCount": notes,
        "usersCount": users,
        "originalUsersCount": users,
        "instances": 0,
        "driveUsageLocal": 0,
        "driveUsageRemote": 0,
    }


def username_available(call: Call) -> object:
    """Whether an account could take this name."""
    return {"available": call.text("username") not in call.state.accounts.users}


def show_remote(_: Call) -> object:
    """Look an object of another server up: there is no other server."""
    raise ApiError(NO_SUCH_OBJECT)
