"""Keeps tokens in memory, for demonstrations and for containers without a volume."""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cachetools import TLRUCache

from proxy.credentials.stores.seal import Seal
from proxy.credentials.token import Token


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int
    fingerprint: str
    token: Token


class MemoryStore:
    """A store that ends with the process and drops a token once nothing about it is of use.

    `now` tells the wall time as an aware datetime.
    """

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._entries: TLRUCache[str, _Entry] = TLRUCache(
            math.inf, ttu=_kept_until, timer=lambda: now().timestamp()
        )
        self._numbers = itertools.count()
        self._seal = Seal(secrets.token_hex(32))

    def fingerprint(self, material: str) -> str:
        """Return a digest of `material`, under a key that ends with the process."""
        return self._seal.fingerprint(material)

    def version(self, name: str) -> object:
        """Return the number of the save that made the entry, `None` if there is no entry."""
        entry = self._entries.get(name)
        return None if entry is None else entry.number

    async def load(self, name: str, fingerprint: str) -> Token | None:
        """Return the token kept for `name` and `fingerprint`, if it is still of use."""
        entry = self._entries.get(name)
        if entry is None or entry.fingerprint != fingerprint:
            return None
        return entry.token

    async def save(self, name: str, fingerprint: str, token: Token) -> None:
        """Keep `token` as long as it or its refresh token lives."""
        self._entries.pop(name, None)  # cachetools 6 would keep it if `token` has expired already
        self._entries[name] = _Entry(next(self._numbers), fingerprint, token)

    async def delete(self, name: str) -> bool:
        """Forget the entry."""
        return self._entries.pop(name, None) is not None

    async def delete_foreign(self, name: str, fingerprint: str) -> bool:
        """Forget the entry of another fingerprint."""
        entry = self._entries.get(name)
        if entry is None or entry.fingerprint == fingerprint:
            return False
        return await self.delete(name)


def _kept_until(_name: str, entry: _Entry, _now: float) -> float:
    """Return the POSIX time from which neither the token nor its refresh token is of use."""
    token = entry.token
    ends = [token.expires_at]
    if token.refresh_token is not None:
        ends.append(token.refresh_expires_at)
    return max(math.inf if end is None else end.timestamp() for end in ends)
