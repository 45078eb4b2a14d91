"""Keeps tokens in memory, for demonstrations and for containers without a volume."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from cachetools import TLRUCache

from proxy.credentials.attempts import Attempts
from proxy.credentials.entry import Entry
from proxy.credentials.stores.base import Unending
from proxy.credentials.stores.seal import Seal
from proxy.errors import ForeignEntry, Superseded


@dataclass(frozen=True, slots=True)
class _Kept:
    fingerprint: str
    entry: Entry


class MemoryStore:
    """A store that ends with the process and drops a token once nothing about it is of use.

    `now` tells the wall time as an aware datetime.
    """

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._kept: TLRUCache[str, _Kept] = TLRUCache(
            math.inf, ttu=_kept_until, timer=lambda: now().timestamp()
        )
        self._attempts: dict[str, Attempts] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._seal = Seal(secrets.token_hex(32))

    def fingerprint(self, material: str) -> str:
        """Return a digest of `material`, under a key that ends with the process."""
        return self._seal.fingerprint(material)

    def version(self, name: str) -> object:
        """Return what is kept itself."""
        return self._kept.get(name)

    async def load(self, name: str, fingerprint: str) -> Entry | None:
        """Return the entry kept for `name` and `fingerprint`, if it is still of use."""
        kept = self._kept.get(name)
        if kept is not None and kept.fingerprint != fingerprint:
            raise ForeignEntry("the entry belongs to another configuration")
        return None if kept is None else kept.entry

    async def save(self, name: str, fingerprint: str, entry: Entry) -> None:
        """Keep `entry` as long as its token or its refresh token lives."""
        kept = self._kept.get(name)
        if kept is not None and kept.fingerprint == fingerprint and not entry.follows(kept.entry):
            raise Superseded("a later token is kept already")
        self._kept.pop(name, None)  # cachetools 6 would keep it if `entry` has expired already
        self._kept[name] = _Kept(fingerprint, entry)

    async def delete(self, name: str) -> bool:
        """Forget the entry."""
        return self._kept.pop(name, None) is not None

    async def attempts(self, credential: str) -> Attempts:
        """Return what was noted since the process began."""
        return self._attempts.get(credential, Attempts())

    async def note(self, credential: str, attempts: Attempts) -> None:
        """Keep `attempts` until the process ends."""
        self._attempts[credential] = attempts

    @asynccontextmanager
    async def lock(self, fingerprint: str) -> AsyncIterator[Unending]:
        """Hold what has that fingerprint within this process."""
        async with self._locks[fingerprint]:
            yield Unending()

    async def tidy(self) -> None:
        """Leave everything: nothing outlives the process."""

    async def aclose(self) -> None:
        """Leave everything: there are no connections."""


def _kept_until(_name: str, kept: _Kept, _now: float) -> float:
    """Return the POSIX time from which the entry is of no use."""
    end = kept.entry.of_use_until
    return math.inf if end is None else end.timestamp()
