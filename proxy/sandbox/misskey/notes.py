"""The notes of the sandbox's users."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.sandbox.misskey.accounts import User
from proxy.sandbox.misskey.identifiers import new_id, now


@dataclass(slots=True)
class Note:
    """A note and who reacted to it; `reactions` maps user ids to emoji."""

    note_id: str
    user: User
    text: str | None
    cw: str | None = None
    visibility: str = "public"
    file_ids: tuple[str, ...] = ()
    created_at: str = field(default_factory=now)
    reactions: dict[str, str] = field(default_factory=dict)


class Notes:
    """All notes, oldest first."""

    def __init__(self, id_length: int) -> None:
        self._id_length = id_length
        self._notes: dict[str, Note] = {}

    def add(
        self,
        user: User,
        text: str | None,
        *,
        cw: str | None = None,
        visibility: str = "public",
        file_ids: tuple[str, ...] = (),
    ) -> Note:
        """Write a note."""
        note = Note(new_id(self._id_length), user, text, cw, visibility, file_ids)
        self._notes[note.note_id] = note
        return note

    def get(self, note_id: str) -> Note | None:
        """The note with this id."""
        return self._notes.get(note_id)

    def remove(self, note: Note) -> None:
        """Delete a note."""
        del self._notes[note.note_id]

    def of(self, user: User) -> list[Note]:
        """The notes of one user, newest first."""
        return [note for note in reversed(self._notes.values()) if note.user is user]

    def __len__(self) -> int:
        return len(self._notes)
