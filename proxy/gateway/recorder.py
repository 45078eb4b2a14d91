"""What the last requests and their answers looked like, for whoever wants to see them.

Records hold what clients sent, phantom keys and queries included: they stay in memory, and whoever
shows them takes the secrets out first.
"""

from __future__ import annotations

from dataclasses import dataclass

ENTRIES = 200
HEAD_LIMIT = 8 * 1024  # bytes of a head that is kept
CONTENT_LIMIT = 10 * 1024  # bytes of a content that are kept


class Copy:
    """The beginning of a content, taken while it passes."""

    __slots__ = ("kept", "length")

    def __init__(self) -> None:
        self.kept = b""
        self.length = 0

    @property
    def is_whole(self) -> bool:
        """Whether all that has passed is kept."""
        return len(self.kept) == self.length

    def add(self, data: bytes) -> None:
        """Keep what there is room for."""
        self.length += len(data)
        if len(self.kept) < CONTENT_LIMIT:
            self.kept += data[: CONTENT_LIMIT - len(self.kept)]


@dataclass(slots=True)
class Record:
    """A request as its client sent it, and the answer as the client got it.

    `request` and `answer` are heads, empty if they are too long to be kept. `place` is the address
    of the socket that the request came to; `has_content` tells whether it had any. The copies are
    `None` where nobody asked for contents.
    """

    request: bytes
    answer: bytes
    place: object
    has_content: bool
    content: Copy | None = None
    answered: Copy | None = None


class Recorder:
    """Keeps the records of the last requests, with their contents while `records_content`."""

    def __init__(self) -> None:
        self.records_content = False
        self._records: dict[str, Record] = {}

    def switch(self, *, records_content: bool) -> None:
        """Begin or end to record contents; what was recorded is forgotten at the end."""
        self.records_content = records_content
        if not records_content:
            self._records.clear()

    def copy(self) -> Copy | None:
        """Return what takes a content, if contents are recorded."""
        return Copy() if self.records_content else None

    def keep(self, request_id: str, record: Record) -> None:
        """Keep a record, and forget the oldest one that there is no room for.

        Without contents, if nobody wants them any more.
        """
        if not self.records_content:
            record.content = record.answered = None
        if len(record.request) > HEAD_LIMIT:
            record.request = b""
        if len(record.answer) > HEAD_LIMIT:
            record.answer = b""
        self._records[request_id] = record
        if len(self._records) > ENTRIES:
            del self._records[next(iter(self._records))]

    def get(self, request_id: str) -> Record | None:
        """Return the record of a request, if it is still kept."""
        return self._records.get(request_id)
