"""A search for all spellings of many secrets at once. Pure.

It takes as long for a thousand secrets as for one. Each spelling has 8 bytes or more, so wherever
it stands it covers a whole word of 4 bytes at a position that 4 divides: only these words are
looked up. The words of a spelling are taken from the part of it that it shares with the fewest
others: many tokens begin alike (`eyJhbGciOi`).
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from proxy.credentials.secret import Secret
from proxy.credentials.spelling import spellings

TRIED_WINDOWS = 16  # parts of a spelling of which the rarest is looked up
BLOCK = 256  # words that are looked up at once
FORMATS: Mapping[int, Literal["H", "I"]] = {2: "H", 4: "I"}  # `memoryview`'s words of so many bytes
SHORT = 8  # bytes of a spelling's beginning that are compared before the rest is

Span = tuple[int, int]


class SpellingIndex:
    """Finds secrets of at least `shortest` characters (8 or 4) without regard to ASCII case."""

    def __init__(self, shortest: int) -> None:
        self.shortest = shortest
        self._width = shortest // 2  # bytes of a word
        self._known: Counter[bytes] = Counter()
        self._words: dict[int, tuple[tuple[int, bytes], ...]] = {}  # where in which spelling
        self._beginnings: _Beginnings | None = None

    def add(self, secret: Secret) -> None:
        """Find `secret` from now on; it may be added more than once."""
        for spelling in self._spellings(secret):
            self._known[spelling] += 1
            if self._known[spelling] == 1:
                self._file(spelling)

    def remove(self, secret: Secret) -> None:
        """Take back one `add`."""
        for spelling in self._spellings(secret):
            self._known[spelling] -= 1
            if not self._known[spelling]:
                del self._known[spelling]
                self._unfile(spelling)

    def spans(self, content: bytes) -> list[Span]:
        """Return where spellings stand, in order; those that overlap are one span."""
        folded = content.lower()
        width, words = self._width, self._words
        view = memoryview(folded)[: len(folded) // width * width].cast(FORMATS[width])
        if len(view) <= BLOCK and words.keys().isdisjoint(view):
            return []  # for the many short texts
        found = set()
        for index in _hits(view, words):
            for offset, spelling in words.get(view[index], ()):
                start = index * width - offset
                if start >= 0 and folded.startswith(spelling, start):
                    found.add((start, start + len(spelling)))
        return _merged(sorted(found))

    def unfinished(self, content: bytes) -> int:
        """Return where the end of `content` may be the beginning of a spelling, else its length."""
        if self._beginnings is None:
            self._beginnings = _Beginnings(self._known)
        return self._beginnings.at_the_end(content.lower())

    def _spellings(self, secret: Secret) -> frozenset[bytes]:
        text = secret.reveal()
        return spellings(text) if len(text) >= self.shortest else frozenset()

    def _file(self, spelling: bytes) -> None:
        self._beginnings = None
        for offset in self._rarest_window(spelling):
            word = self._word(spelling, offset)
            self._words[word] = (*self._words.get(word, ()), (offset, spelling))

    def _unfile(self, spelling: bytes) -> None:
        self._beginnings = None
        for offset in range(len(spelling) - self._width + 1):
            word = self._word(spelling, offset)
            left = tuple(entry for entry in self._words.get(word, ()) if entry[1] != spelling)
            if left:
                self._words[word] = left
            else:
                self._words.pop(word, None)

    def _rarest_window(self, spelling: bytes) -> range:
        """Return the offsets of consecutive words, one of which is aligned, whatever the place."""
        last = len(spelling) - 2 * self._width + 1
        tried = range(0, last + 1, last // TRIED_WINDOWS + 1)
        windows = [range(start, start + self._width) for start in tried]
        return min(windows, key=lambda window: sum(self._entries(spelling, window)))

    def _entries(self, spelling: bytes, window: range) -> Iterator[int]:
        return (len(self._words.get(self._word(spelling, offset), ())) for offset in window)

    def _word(self, spelling: bytes, offset: int) -> int:
        return int.from_bytes(spelling[offset : offset + self._width], sys.byteorder)


class _Beginnings:
    """Finds the beginning of a spelling at the end of a text."""

    def __init__(self, known: Iterable[bytes]) -> None:
        self._sorted = sorted(known)
        self._longest = max(map(len, self._sorted), default=1)
        self._short = {spelling[:end] for spelling in self._sorted for end in range(1, SHORT + 1)}

    def at_the_end(self, folded: bytes) -> int:
        for start in range(max(len(folded) - self._longest + 1, 0), len(folded)):
            if folded[start : start + SHORT] in self._short and self._goes_on(folded[start:]):
                return start
        return len(folded)

    def _goes_on(self, tail: bytes) -> bool:
        """Tell whether `tail` is a spelling's beginning, and not the whole of it."""
        following = bisect_right(self._sorted, tail)
        return following < len(self._sorted) and self._sorted[following].startswith(tail)


def _hits(view: memoryview[int], words: Mapping[int, object]) -> Iterator[int]:
    """Yield where in `view` one of `words` is; most blocks hold none, which C code sees."""
    for first in range(0, len(view), BLOCK):
        block = view[first : first + BLOCK]
        if not words.keys().isdisjoint(block):
            yield from (first + index for index, word in enumerate(block) if word in words)


def _merged(found: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in found:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
