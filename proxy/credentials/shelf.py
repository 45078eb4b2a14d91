"""What the store keeps of one upstream: its entry, and the attempts with its credential."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace

from proxy.credentials.attempts import Attempts
from proxy.credentials.entry import Entry
from proxy.credentials.identity import credential, material
from proxy.credentials.providers import Provider
from proxy.credentials.resources import Resources
from proxy.credentials.stores.base import Lease
from proxy.credentials.token import Token
from proxy.errors import EntryLost, ForeignEntry, StoreError, Superseded
from proxy.events import TokenLoaded, TokenNotStored, TokenStored

TRIES = 3  # to keep a login, of which other processes must have changed the entry each time


class Shelf:
    """The place of the upstream `name` in a store.

    `unsaved` is an entry that the store has not taken yet, or has lost. Each token is made known
    to the redaction before anything else happens to it. What a provider does not want kept has an
    empty place. Whatever asks the store may raise `StoreError`.
    """

    def __init__(self, name: str, provider: Provider, base_url: str, resources: Resources) -> None:
        self.unsaved: Entry | None = None
        self._name = name
        self._provider = provider
        self._base_url = base_url
        self._store = resources.store
        self._observe = resources.observe
        self._redaction = resources.redaction
        self._clock = resources.clock
        self._untaken = resources.untaken
        self._stored = False  # as far as this process knows

    def version(self) -> object:
        """Return something that differs after the entry has changed, whoever did it."""
        return self._store.version(self._name) if self._provider.kept else None

    async def latest(self, known: Entry | None) -> Entry | None:
        """Return the store's entry, or what is later than it: `known`, or what is unsaved.

        `None` if there is none, or it was removed: then what is unsaved goes too.
        """
        if not self._provider.kept:
            return known
        known = self.unsaved or known
        try:
            stored = await self._store.load(self._name, self._fingerprint())
        except ForeignEntry:
            return known  # another configuration has the entry: ours lives on in memory
        except EntryLost:
            self.unsaved = known
            return known
        if stored is None and self._stored:
            self.unsaved = None
        self._stored = stored is not None
        if stored is None:
            return self.unsaved
        self.know(stored.token)
        return stored if known is None else self._later(known, stored)

    def found(self, entry: Entry) -> Entry:
        """Tell that the store had `entry`, and return it."""
        self._observe(TokenLoaded(self._name, entry.token.expires_at, entry.generation))
        return entry

    def next_entry(self, token: Token, latest: Entry | None) -> Entry:
        """Return what `token` makes of `latest`; without that, a new series begins."""
        now = self._clock.wall()
        if latest is None:
            return Entry(token, series=secrets.token_hex(4), obtained_at=now)
        return Entry(token, latest.generation + 1, latest.series, now, latest.forced_at)

    async def save(self, entry: Entry) -> None:
        """Persist `entry`; a store that fails costs the next process the token, not this one.

        Raises `Superseded` if somebody else has kept a later one, and no other `StoreError`.
        """
        try:
            await self._store.save(self._name, self._fingerprint(), entry)
        except asyncio.CancelledError:
            self.unsaved = entry  # nobody knows
            raise
        except Superseded:
            if not await self._has(entry):
                self.unsaved = None
                raise
        except StoreError as error:
            if self.unsaved is None:
                self._observe(TokenNotStored(self._name, error.detail))
            self.unsaved = entry
            return
        self._stored = True
        if self.unsaved is not None:
            self._observe(TokenStored(self._name))
        self.unsaved = None

    async def keep(self, token: Token, known: Entry | None) -> Entry:
        """Persist a token that a human has got, whatever other processes do meanwhile."""
        self.know(token)
        for _ in range(TRIES):
            with suppress(StoreError):  # what cannot be read may be replaced
                known = await self.latest(known)
            entry = replace(self.next_entry(token, known), forced_at=None)
            with suppress(Superseded):
                await self._store.save(self._name, self._fingerprint(), entry)
                self._stored = True
                return entry
        raise Superseded("other processes change the stored token all the time")

    async def delete(self) -> bool:
        """Forget the entry; `False` if there was none."""
        self.unsaved = None
        self._stored = False
        return await self._store.delete(self._name)

    def lock(self) -> AbstractAsyncContextManager[Lease]:
        """Hold the right to use this credential, whichever upstream it serves."""
        return self._store.lock(self._store.fingerprint(credential(self._provider)))

    def entry_lock(self) -> AbstractAsyncContextManager[Lease]:
        """Hold the right to use what the entry holds."""
        return self._store.lock(self._store.fingerprint(f"{self._name} {self._fingerprint()}"))

    async def attempts(self) -> Attempts:
        """Return the attempts with this credential; only our own ones, if the store fails."""
        text = credential(self._provider)
        ours = await self._untaken.attempts(self._untaken.fingerprint(text))
        with suppress(StoreError):
            return ours.merged(await self._store.attempts(self._store.fingerprint(text)))
        return ours

    async def note(self, attempts: Attempts) -> None:
        """Keep `attempts`; in this process, if the store fails."""
        await self._note(attempts, otherwise=attempts)

    async def clear(self, attempts: Attempts) -> None:
        """Let `attempts` count no more, since the last one has brought a token."""
        await self._note(Attempts(), otherwise=attempts.done())

    async def _note(self, attempts: Attempts, *, otherwise: Attempts) -> None:
        text = credential(self._provider)
        ours = self._untaken.fingerprint(text)
        try:
            await self._store.note(self._store.fingerprint(text), attempts)
        except StoreError:
            await self._untaken.note(ours, otherwise)
            raise
        await self._untaken.note(ours, Attempts())

    def know(self, token: Token) -> None:
        """Let nobody read of the token."""
        refresh = () if token.refresh_token is None else (token.refresh_token,)
        self._redaction.remember(token.value, *refresh)

    def _later(self, known: Entry, stored: Entry) -> Entry:
        """Return the later one of two; of two series, the stored one is the common one."""
        if stored.follows(known):
            self.unsaved = None
            return stored
        if known.follows(stored):
            self.unsaved = known  # the one before a damaged entry has taken its place
            return known
        return known if stored.series == known.series or known is self.unsaved else stored

    async def _has(self, entry: Entry) -> bool:
        """Tell whether the store holds it: the word that it was saved may have been lost."""
        with suppress(StoreError):
            return await self._store.load(self._name, self._fingerprint()) == entry
        return False

    def _fingerprint(self) -> str:
        return self._store.fingerprint(material(self._provider, self._base_url))
