"""Endpoints about notes and reactions."""

from __future__ import annotations

from proxy.sandbox.misskey.endpoints.endpoint import Endpoint, Endpoints
from proxy.sandbox.misskey.errors import ApiError, ErrorSpec, invalid_param
from proxy.sandbox.misskey.identifiers import now
from proxy.sandbox.misskey.limits import Limit
from proxy.sandbox.misskey.notes import Note
from proxy.sandbox.misskey.state import Call


def _no_such_note(error_id: str) -> ErrorSpec:
    return ErrorSpec("No such note.", "NO_SUCH_NOTE", error_id)


NO_SUCH_NOTE_TO_SHOW = _no_such_note("24fcbfc6-2e37-42b6-8388-c29b3861a08d")
NO_SUCH_NOTE_TO_DELETE = _no_such_note("490be23f-8c1f-4796-819f-94cb4f9d1630")
NO_SUCH_NOTE_TO_REACT_TO = _no_such_note("033d0620-5bfe-4027-965d-980b0c85a3ea")
NO_SUCH_NOTE_TO_UNREACT = _no_such_note("764d9fce-f9f2-4a0e-92b1-6ceac9a7ad37")
NOT_YOUR_NOTE = ErrorSpec("Access denied.", "ACCESS_DENIED", "fe8d7103-0ea8-4ec3-814d-f8b401dc69e9")
ALREADY_REACTED = ErrorSpec(
    "You are already reacting to that note.",
    "ALREADY_REACTED",
    "71efcf98-86d6-4e2b-b2ad-9d032369366b",
)
NOT_REACTED = ErrorSpec(
    "You are not reacting to that note.", "NOT_REACTED", "92f4426d-4196-4125-aa5b-02943e2ec8fc"
)


def create(call: Call) -> object:
    """Write a note; it needs a text or files."""
    text, file_ids = call.text("text"), call.texts("fileIds")
    if text is None and not file_ids:
        rule = "then" if call.state.release.modern_shapes else "anyOf/0"
        raise invalid_param(f"#/{rule}/required", "must have required property 'text'")
    visibility = call.text("visibility") or "public"
    note = call.state.notes.add(
        call.user, text, cw=call.text("cw"), visibility=visibility, file_ids=file_ids
    )
    shape = call.state.note_json(note)
    call.state.streams.publish_note(call.user, shape)
    return {"createdNote": shape}


def delete(call: Call) -> None:
    """Delete one's own note."""
    note = _note(call, NO_SUCH_NOTE_TO_DELETE)
    if note.user is not call.user:
        raise ApiError(NOT_YOUR_NOTE)
    call.state.notes.remove(note)
    call.state.streams.publish_update(note.note_id, "deleted", {"deletedAt": now()})


def show(call: Call) -> object:
    """One note."""
    return call.state.note_json(_note(call, NO_SUCH_NOTE_TO_SHOW))


def timeline(call: Call) -> object:
    """The user's home: nobody follows anybody here, so these are their own notes."""
    limit = call.params.get("limit", 10)
    notes = call.state.notes.of(call.user)
    return [call.state.note_json(note) for note in notes[: limit if isinstance(limit, int) else 10]]


def react(call: Call) -> None:
    """Add a reaction."""
    note = _note(call, NO_SUCH_NOTE_TO_REACT_TO)
    user_id, reaction = call.user.user_id, call.text("reaction") or ""
    if note.reactions.get(user_id) == reaction:
        raise ApiError(ALREADY_REACTED)
    note.reactions[user_id] = reaction
    body: dict[str, object] = {"reaction": reaction, "emoji": None, "userId": user_id}
    call.state.streams.publish_update(note.note_id, "reacted", body)


def unreact(call: Call) -> None:
    """Take the reaction back."""
    note = _note(call, NO_SUCH_NOTE_TO_UNREACT)
    user_id = call.user.user_id
    reaction = note.reactions.pop(user_id, None)
    if reaction is None:
        raise ApiError(NOT_REACTED)
    body: dict[str, object] = {"reaction": reaction, "userId": user_id}
    call.state.streams.publish_update(note.note_id, "unreacted", body)


def _note(call: Call, missing: ErrorSpec) -> Note:
    note = call.state.notes.get(call.text("noteId") or "")
    if note is None:
        raise ApiError(missing)
    return note


ENDPOINTS: Endpoints = {
    "notes/create": Endpoint(
        run=create, credential=True, permission="write:notes", limit=Limit(300)
    ),
    "notes/delete": Endpoint(
        run=delete,
        credential=True,
        permission="write:notes",
        limit=Limit(300, interval=1.0),
        required=("noteId",),
    ),
    "notes/show": Endpoint(run=show, required=("noteId",)),
    "notes/timeline": Endpoint(run=timeline, credential=True, permission="read:account"),
    "notes/reactions/create": Endpoint(
        run=react,
        credential=True,
        permission="write:reactions",
        required=("noteId", "reaction"),
    ),
    "notes/reactions/delete": Endpoint(
        run=unreact,
        credential=True,
        permission="write:reactions",
        limit=Limit(60, interval=3.0),
        required=("noteId",),
    ),
}
