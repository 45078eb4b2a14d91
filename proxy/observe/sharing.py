"""What processes that serve the same sockets tell each other: any of them can answer for all.

The parent takes the memory before it forks: a board with a place for each process. Nobody ever
waits for anybody there, so a process that is killed holds nothing up, whatever it was doing.

A place has two halves, and each half a head (number, length, checksum) and a document. Who writes
takes the older half, and the other one stays whole meanwhile. A half whose checksum is wrong is
being written, or its writer was killed over it: then the other one counts.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from proxy.mistakes import survived

HALF = 4 * 2**20  # bytes, enough for 2,000 upstreams; memory is taken only for what is written
TRIES = 10  # to read what its writer replaces again and again
INTERVAL = 0.5  # seconds between two tellings
_HEAD = struct.Struct("<QII")  # number, length and CRC-32 of it and of the number
_Sections = dict[str, msgspec.Raw]


class Board:
    """Memory for `places` processes, which those that are forked later share."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._memory = mmap.mmap(-1, places * 2 * HALF)

    def write(self, place: int, document: bytes) -> None:
        """Replace the document of a place, which has one writer at a time.

        Raises `ValueError` if it is too large.
        """
        if len(document) > HALF - _HEAD.size:
            raise ValueError("the document is too large for its place")
        present = self._present(place)
        number = 1 if present is None else self._head(present)[0] + 1
        half = next(half for half in self._halves(place) if half != present)
        begin = half + _HEAD.size
        self._memory[begin : begin + len(document)] = document
        _HEAD.pack_into(self._memory, half, number, len(document), _checksum(number, document))

    def read(self, place: int) -> bytes | None:
        """Return the last whole document of a place, `None` as long as there was none."""
        for _ in range(TRIES):
            half = self._present(place)
            document = None if half is None else self._document(half)
            if document is not None:
                return document
        return None

    def _present(self, place: int) -> int | None:
        """Return where the half begins that was written last as a whole."""
        for half in sorted(self._halves(place), key=self._head, reverse=True):
            if self._document(half) is not None:
                return half
        return None

    def _halves(self, place: int) -> tuple[int, int]:
        begin = place * 2 * HALF
        return begin, begin + HALF

    def _head(self, half: int) -> tuple[int, int, int]:
        number, length, checksum = _HEAD.unpack_from(self._memory, half)
        return number, length, checksum

    def _document(self, half: int) -> bytes | None:
        number, length, checksum = self._head(half)
        begin = half + _HEAD.size
        document = self._memory[begin : begin + min(length, HALF - _HEAD.size)]
        return document if number and _checksum(number, document) == checksum else None


def _checksum(number: int, document: bytes) -> int:
    return zlib.crc32(document, number % 2**32)


class Sharing:
    """One process's part of the board: a document of named sections, each somebody's own matter."""

    def __init__(self, board: Board, place: int) -> None:
        self.place = place
        self._board = board
        self._offers: dict[str, Callable[[], bytes]] = {}
        self._heeded: dict[str, Callable[[list[msgspec.Raw]], None]] = {}
        before = board.read(place)
        self._left = {} if before is None else _sections(before)

    def left(self, section: str) -> msgspec.Raw | None:
        """Return what the process told last whose place this one takes."""
        return self._left.get(section)

    def offer(self, section: str, told: Callable[[], bytes]) -> None:
        """Tell what `told` returns, a document in MessagePack, under that name from now on."""
        self._offers[section] = told

    def heed(self, section: str, heard: Callable[[list[msgspec.Raw]], None]) -> None:
        """Let `heard` know from now on what every process tells under that name, half-secondly."""
        self._heeded[section] = heard

    def tell(self) -> None:
        """Let the others see how it is now."""
        sections = {name: msgspec.Raw(told()) for name, told in self._offers.items()}
        self._board.write(self.place, msgspec.msgpack.encode(sections))

    def all(self, section: str) -> list[msgspec.Raw]:
        """Return what every process has told under that name, this one just now."""
        self.tell()
        return self._all(section)

    def _all(self, section: str) -> list[msgspec.Raw]:
        documents = map(self._board.read, range(self._board.places))
        found = (_sections(document).get(section) for document in documents if document)
        return [told for told in found if told is not None]

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Tell how it is every half second while the block runs, and once more at its end."""
        task = asyncio.create_task(self._tell_on(), name="tell the other workers")
        try:
            yield
        finally:
            task.cancel()
            self.tell()

    async def _tell_on(self) -> None:
        while True:
            async with survived():
                self.tell()
                for section, heard in self._heeded.items():
                    heard(self._all(section))
                await asyncio.sleep(INTERVAL)


def _sections(document: bytes) -> _Sections:
    return msgspec.msgpack.decode(document, type=_Sections)
