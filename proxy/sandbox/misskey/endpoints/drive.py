"""Endpoints about the drive."""

from __future__ import annotations

import json

from proxy.sandbox.misskey import shapes
from proxy.sandbox.misskey.drive import UNALLOWED_FILE_TYPE
from proxy.sandbox.misskey.endpoints.endpoint import Endpoint, Endpoints
from proxy.sandbox.misskey.errors import INTERNAL_ERROR, UNCASTABLE_PARAM, ApiError, ErrorSpec
from proxy.sandbox.misskey.limits import Limit
from proxy.sandbox.misskey.state import Call

CREATE_FILE = "drive/files/create"
"""The one endpoint that takes multipart/form-data."""

NO_SUCH_FILE = ErrorSpec("No such file.", "NO_SUCH_FILE", "908939ec-e52b-4458-b395-1025195cea58")
_CAPACITY = 100 * 1024 * 1024


def show(call: Call) -> object:
    """Capacity and use of the drive in bytes."""
    used = sum(file.upload.size for file in call.state.drive.of(call.user))
    return {"capacity": _CAPACITY, "usage": used}


def list_files(call: Call) -> object:
    """The user's files."""
    return [shapes.drive_file(file, call.state.origin) for file in call.state.drive.of(call.user)]


def create_file(call: Call) -> object:
    """Keep an uploaded file."""
    sensitive, force = _boolean(call, "isSensitive"), _boolean(call, "force")
    if call.upload is None or "folderId" in call.params:
        # No folder exists here; a text such as `null` is no id and breaks the real server as well.
        raise ApiError(INTERNAL_ERROR)
    file = call.state.drive.add(
        call.user,
        call.upload,
        name=call.text("name") or call.upload.filename or "untitled",
        sensitive=sensitive,
        comment=call.text("comment"),
        force=force,
    )
    if file is None:
        raise ApiError(UNALLOWED_FILE_TYPE)
    return shapes.drive_file(file, call.state.origin)


def delete_file(call: Call) -> None:
    """Delete one's own file."""
    file = call.state.drive.get(call.text("fileId") or "")
    if file is None or file.user is not call.user:
        raise ApiError(NO_SUCH_FILE)
    call.state.drive.remove(file)


def _boolean(call: Call, name: str) -> bool:
    """A form field is text; the server reads it as JSON and hopes for a boolean."""
    text = call.text(name)
    if text is None:
        return False
    try:
        return bool(json.loads(text))
    except ValueError as error:
        info: dict[str, object] = {"param": name, "reason": "cannot cast to boolean"}
        raise ApiError(UNCASTABLE_PARAM, info=info) from error


ENDPOINTS: Endpoints = {
    "drive": Endpoint(run=show, credential=True, permission="read:drive"),
    "drive/files": Endpoint(run=list_files, credential=True, permission="read:drive"),
    CREATE_FILE: Endpoint(
        run=create_file, credential=True, permission="write:drive", limit=Limit(120)
    ),
    "drive/files/delete": Endpoint(
        run=delete_file, credential=True, permission="write:drive", required=("fileId",)
    ),
}
