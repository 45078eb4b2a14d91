"""All that a sandbox remembers, and one authenticated call upon it."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.sandbox.misskey import shapes
from proxy.sandbox.misskey.accounts import Accounts, User
from proxy.sandbox.misskey.authentication import Credential
from proxy.sandbox.misskey.drive import Drive, Upload
from proxy.sandbox.misskey.notes import Note, Notes
from proxy.sandbox.misskey.release import Release
from proxy.sandbox.misskey.streaming import Streams


class State:
    """Accounts, notes, files and open streams of one server."""

    def __init__(self, release: Release, origin: str | None, ping_interval: float) -> None:
        self.release = release
        self.configured_origin = origin
        self.accounts = Accounts(release.id_length)
        self.notes = Notes(release.id_length)
        self.drive = Drive(release)
        self.streams = Streams(ping_interval)

    @property
    def origin(self) -> str:
        """The server's configured URL, which stands in all bodies; known at the first request."""
        if self.configured_origin is None:
            raise RuntimeError("the sandbox has not been asked anything yet and has no origin")
        return self.configured_origin

    def note_json(self, note: Note) -> shapes.Json:
        """A note as it is sent."""
        files = [file for file_id in note.file_ids if (file := self.drive.get(file_id))]
        return shapes.note(note, files, self.origin, self.release)

    def user_json(self, user: User) -> shapes.Json:
        """A user as it is sent."""
        count = len(self.notes.of(user))
        return shapes.user_detailed(user, count, self.origin, self.release)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an endpoint: who, with which parameters, upon which server."""

    state: State
    credential: Credential
    params: dict[str, object]
    upload: Upload | None = None

    @property
    def user(self) -> User:
        """The calling user, on endpoints that demand a credential."""
        if self.credential.user is None:
            raise RuntimeError("an endpoint without `credential` asked for the user")
        return self.credential.user

    def text(self, name: str) -> str | None:
        """The parameter `name` if it is a string."""
        value = self.params.get(name)
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """The parameter `name` if it is a list: its strings."""
        value = self.params.get(name)
        return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()
