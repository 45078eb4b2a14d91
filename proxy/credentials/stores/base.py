"""What every store has."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from proxy.credentials.attempts import Attempts
from proxy.credentials.entry import Entry

LEASE = 30.0  # seconds after which others take over the lock of a holder that gives no sign of life
LOCK_PATIENCE = 40.0  # seconds that somebody waits for a lock: longer than a holder may take


class Lease(Protocol):
    """The right to renew, as long as its holder gives signs of life."""

    def check(self) -> None:
        """Raise `Superseded` if somebody may have taken over: this process has stood still."""
        ...


class Unending:
    """A lease that nobody can take over."""

    def check(self) -> None:
        """Find nothing wrong."""


class Store(Protocol):
    """Keeps one entry an upstream, under the upstream's name, and attempts by credential.

    Each entry belongs to the fingerprint of the configuration that acquired it, so that an edited
    configuration never meets a foreign token. Every method may raise `StoreError`.
    """

    def fingerprint(self, material: str) -> str:
        """Return a keyed digest (HMAC-SHA256, hexadecimal) of `material`, which holds secrets."""
        ...

    def version(self, name: str) -> object:
        """Return something that compares unequal after the entry has changed.

        It is cheap (a file store makes one `lstat`), so that a running proxy can ask often.
        """
        ...

    async def load(self, name: str, fingerprint: str) -> Entry | None:
        """Return the entry kept under `name`, `None` if there is none or it was deleted.

        Raises `ForeignEntry` if it is another fingerprint's, and `EntryLost` if it is gone, but
        nobody has deleted it.
        """
        ...

    async def save(self, name: str, fingerprint: str, entry: Entry) -> None:
        """Keep `entry` under `name`; it is durable when this returns.

        Raises `Superseded` if the store has one of the same fingerprint that `entry` does not
        follow: whoever has slept over a renewal or a login must not undo it.
        """
        ...

    async def delete(self, name: str) -> bool:
        """Forget the entry, even one that cannot be read; `False` if there was none."""
        ...

    async def attempts(self, credential: str) -> Attempts:
        """Return what was noted of the credential with that fingerprint."""
        ...

    async def note(self, credential: str, attempts: Attempts) -> None:
        """Keep `attempts`, for an hour at least; it is durable when this returns."""
        ...

    def lock(self, fingerprint: str) -> AbstractAsyncContextManager[Lease]:
        """Hold what has that fingerprint, alone among all who share the store.

        A holder that ends loses it at once or after `LEASE`. Where others than this process may
        hold it, raises `StoreBusy` after `LOCK_PATIENCE`.
        """
        ...

    async def tidy(self) -> None:
        """Remove what processes that were killed have left behind."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
