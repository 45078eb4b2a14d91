"""The drive: uploaded files, their kinds, and their content on disk once it is large."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Any

from proxy.sandbox.misskey.accounts import User
from proxy.sandbox.misskey.errors import ErrorSpec
from proxy.sandbox.misskey.identifiers import new_id, now
from proxy.sandbox.misskey.release import Release

UNALLOWED_FILE_TYPE = ErrorSpec(
    "Cannot upload the file because it is an unallowed file type.",
    "UNALLOWED_FILE_TYPE",
    "4becd248-7f2c-48c4-a9f0-75edc4f9a1ea",
)

_IN_MEMORY = 1024 * 1024
_SNIFFED = 512
_UNKNOWN = "application/octet-stream"
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0c")


class Upload:
    """Content on its way in: hashed and counted as it passes, never held whole in memory."""

    def __init__(self, filename: str | None) -> None:
        self.filename = filename
        self.content = SpooledTemporaryFile[bytes](max_size=_IN_MEMORY)
        self.size = 0
        self.head = b""
        self._md5 = hashlib.md5(usedforsecurity=False)

    def write(self, chunk: bytes) -> None:
        """Take the next piece."""
        self.head += chunk[: _SNIFFED - len(self.head)]
        self.size += len(chunk)
        self._md5.update(chunk)
        self.content.write(chunk)

    @property
    def md5(self) -> str:
        """The digest that the server recognises equal files by."""
        return self._md5.hexdigest()

    def media_type(self, release: Release) -> str:
        """What the content looks like; the name and the declared type do not count."""
        for magic, media_type in _MAGIC:
            if self.head.startswith(magic):
                return media_type
        return "text/plain" if release.recognises_text and _is_text(self.head) else _UNKNOWN


@dataclass(frozen=True, slots=True)
class DriveFile:
    """A stored file; `key` is the last segment of its public URL."""

    file_id: str
    user: User
    name: str
    media_type: str
    upload: Upload
    sensitive: bool
    comment: str | None
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: str = field(default_factory=now)

    @property
    def is_image(self) -> bool:
        """Images have a size, a blurhash and a thumbnail."""
        return self.media_type.startswith("image/")

    @property
    def properties(self) -> dict[str, Any]:
        """Width and height, told for PNG only: other formats are not looked into."""
        if self.media_type != "image/png":
            return {}
        head = self.upload.head
        return {
            "width": int.from_bytes(head[16:20], "big"),
            "height": int.from_bytes(head[20:24], "big"),
        }

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces of 64 KiB."""
        self.upload.content.seek(0)
        while chunk := self.upload.content.read(64 * 1024):
            yield chunk


class Drive:
    """All files of all users."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._files: dict[str, DriveFile] = {}

    def add(
        self,
        user: User,
        upload: Upload,
        *,
        name: str,
        sensitive: bool = False,
        comment: str | None = None,
        force: bool = False,
    ) -> DriveFile | None:
        """Keep an upload; None if this kind of file is not allowed.

        The same bytes of the same user are the same file, unless `force` is set.
        """
        earlier = None if force else self._same_content(user, upload.md5)
        if earlier is not None:
            return earlier
        media_type = upload.media_type(self._release)
        if media_type == _UNKNOWN and self._release.refuses_unknown_files:
            return None
        stored_name = f"{name}.unknown" if media_type == _UNKNOWN else name
        file_id = new_id(self._release.id_length)
        file = DriveFile(file_id, user, stored_name, media_type, upload, sensitive, comment)
        self._files[file_id] = file
        return file

    def get(self, file_id: str) -> DriveFile | None:
        """The file with this id."""
        return self._files.get(file_id)

    def by_key(self, key: str) -> DriveFile | None:
        """The file behind `/files/<key>` or `/files/thumbnail-<key>`."""
        wanted = key.removeprefix("thumbnail-")
        return next((file for file in self._files.values() if file.key == wanted), None)

    def remove(self, file: DriveFile) -> None:
        """Delete a file and its content."""
        del self._files[file.file_id]
        file.upload.content.close()

    def of(self, user: User) -> list[DriveFile]:
        """The files of one user, newest first."""
        return [file for file in reversed(self._files.values()) if file.user is user]

    def holds(self, upload: Upload) -> bool:
        """Whether this upload became a file."""
        return any(file.upload is upload for file in self._files.values())

    def close(self) -> None:
        """Give the disk space back."""
        for file in list(self._files.values()):
            self.remove(file)

    def _same_content(self, user: User, md5: str) -> DriveFile | None:
        return next((file for file in self.of(user) if file.upload.md5 == md5), None)


def _is_text(head: bytes) -> bool:
    return all(byte >= 0x20 or byte in _TEXT_CONTROLS for byte in head)
