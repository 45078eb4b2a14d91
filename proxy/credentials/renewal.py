"""Gets the next token of one upstream: once for all who share the store, and not too often.

Whoever renews looks into the store first, is alone with the credential, counts the attempt before
anything is sent, and keeps the new token before anybody uses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import TypeGuard

from proxy.credentials.attempts import Attempts
from proxy.credentials.entry import Entry
from proxy.credentials.providers import Provider
from proxy.credentials.resources import Resources
from proxy.credentials.secret import Secret
from proxy.credentials.shelf import Shelf
from proxy.credentials.stores.base import Lease, Unending
from proxy.credentials.token import Token, TokenFlow
from proxy.errors import (
    AnswerUnusable,
    GrantRejected,
    SidekeyError,
    StoreBusy,
    StoreError,
    Superseded,
    TokenEndpointError,
    TokenEndpointUnreachable,
)
from proxy.events import TokenAcquired


class Renewal:
    """Runs a provider's flows, and puts what comes of them on the shelf."""

    def __init__(self, name: str, provider: Provider, shelf: Shelf, resources: Resources) -> None:
        self._name = name
        self._provider = provider
        self._shelf = shelf
        self._exchange = resources.exchange
        self._observe = resources.observe
        self._redaction = resources.redaction
        self._clock = resources.clock
        self._lasting = resources.lasting
        self._anew = resources.anew
        self._held = AsyncExitStack()
        self._lease: Lease | None = None  # of the entry

    async def next(self, known: Entry | None, rejected: Secret | None) -> Entry:
        """Return an entry that is later than `known`, whose token may have been `rejected`.

        Raises `CredentialError`, `TokenEndpointError` or `StoreError`.
        """
        if not self._provider.kept:
            token = await self._exchange.run(self._flow(known), self._provider)
            return self._shelf.next_entry(token, known)
        if self._provider.interactive:
            return await self._given(known, rejected)
        return await self._bought(known, forced=rejected is not None)

    async def let_others(self) -> None:
        """Release the entry, unless the next one exists nowhere but in this process.

        Others would renew with the one before it, whose refresh token is used up.
        """
        if self._shelf.unsaved is None or not self._provider.rotates:
            await self.release()

    async def release(self) -> None:
        """Let others use the entry."""
        self._lease = None
        await self._held.aclose()

    async def _given(self, known: Entry | None, rejected: Secret | None) -> Entry:
        """Return what a human has got meanwhile; raise `LoginRequired` if nobody has."""
        latest = await self._shelf.latest(known)
        if self._replaces(latest, known):
            return self._shelf.found(latest)
        if latest is not None and latest.token.value == rejected and not latest.rejected:
            # Marked, not removed: nobody sends it again, but it still tells whose it was. Signing
            # in anew takes the mark away, whatever token comes of it.
            marked = replace(latest, rejected=True, generation=latest.generation + 1)
            await self._shelf.save(marked)
        await self._exchange.run(self._flow(latest), self._provider)
        raise AssertionError("a provider that asks a human has answered by itself")

    async def _bought(self, known: Entry | None, *, forced: bool) -> Entry:
        latest = await self._read(known)
        if self._replaces(latest, known):
            return self._shelf.found(latest)  # without a lock: there is nothing to renew
        async with self._alone() as lease:
            latest = await self._read(known)
            if self._replaces(latest, known):
                return self._shelf.found(latest)
            entry = await self._fetched(latest, lease, forced=forced)
        if not entry.usable(self._clock.wall()):
            raise TokenEndpointUnreachable("the token endpoint handed out an expired token")
        return entry

    async def _fetched(self, latest: Entry | None, lease: Lease, *, forced: bool) -> Entry:
        """Return what the token endpoint hands out, or what somebody else has kept meanwhile."""
        now = self._clock.wall()
        before = (await self._shelf.attempts()).recent(now)
        before.check(now)
        begun = before.begun(now, 0 if latest is None else latest.generation)
        try:
            await self._note(begun)
            asked = self._clock.elapsed()
            token = await self._exchange.run(self._flow(latest), self._provider, lease.check)
            seconds = self._clock.elapsed() - asked
            entry = await self._kept(token, latest, forced=forced)
            self._acquired(entry, seconds)
        except asyncio.CancelledError:
            await self._end(lease, self._unanswered(begun, before))
            raise
        except SidekeyError as error:
            newer = await self._newer(latest)
            if newer is None:
                await self._end(lease, self._failed(error, begun, before))
                raise
            entry = self._shelf.found(newer)
        with suppress(StoreError):
            lease.check()
            await self._shelf.clear(begun)
        return entry

    async def _kept(self, token: Token, latest: Entry | None, *, forced: bool) -> Entry:
        """Persist before anybody uses it. Raises `Superseded`."""
        self._shelf.know(token)
        entry = self._shelf.next_entry(token, latest)
        if forced:
            entry = replace(entry, forced_at=entry.obtained_at)
        await self._shelf.save(entry)
        return entry

    def _acquired(self, entry: Entry, seconds: float) -> None:
        expires_at = entry.token.expires_at
        fact = TokenAcquired(self._name, expires_at, entry.generation, round(seconds, 4))
        self._observe(fact)

    async def _newer(self, latest: Entry | None) -> Entry | None:
        """Return what somebody else has kept while we failed: they were quicker with this token."""
        newer = None
        with suppress(StoreError):
            newer = await self._shelf.latest(latest)
        return newer if self._replaces(newer, latest) else None

    async def _note(self, begun: Attempts) -> None:
        """Note an attempt before it is made; what cannot be noted counts in this process only.

        Raises `StoreError` if this process will end before the store could take what comes of it.
        """
        try:
            await self._shelf.note(begun)
        except StoreError:
            if not self._lasting:
                raise

    async def _end(self, lease: Lease, attempts: Attempts) -> None:
        """Note how an attempt has ended, unless others have gone on and noted theirs."""
        with suppress(StoreError):
            lease.check()
            await self._shelf.note(attempts)

    def _failed(self, error: SidekeyError, begun: Attempts, before: Attempts) -> Attempts:
        """Return what an attempt that ended in `error` leaves to be noted."""
        if isinstance(error, TokenEndpointError):
            return self._unanswered(begun, before)
        if isinstance(error, GrantRejected):
            return begun.ended("refused", self._words(error, before))
        if isinstance(error, AnswerUnusable):
            return begun.ended("refused", self._redaction.masked(error.detail))
        return before

    def _unanswered(self, begun: Attempts, before: Attempts) -> Attempts:
        """Return what to note of an attempt without an answer, which may have used something up."""
        return begun.ended("lost") if self._provider.rotates else before

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Lease]:
        """Be the only one who uses the credential, and before that the only refresh token."""
        if self._provider.rotates:
            await self._hold()
        try:
            async with AsyncExitStack() as stack:
                yield await self._leased(stack)
        finally:
            await self.let_others()

    async def _hold(self) -> None:
        """Hold the entry, if it is not held since an earlier time."""
        if self._lease is not None:
            with suppress(Superseded):
                self._lease.check()
                return
            await self.release()
        self._lease = await self._held.enter_async_context(self._shelf.entry_lock())

    async def _leased(self, stack: AsyncExitStack) -> Lease:
        try:
            return await stack.enter_async_context(self._shelf.lock())
        except StoreBusy:
            raise
        except StoreError as error:
            self._check_harmless(error)
            return Unending()

    async def _read(self, known: Entry | None) -> Entry | None:
        try:
            return await self._shelf.latest(known)
        except StoreError as error:
            self._check_harmless(error)
            return self._shelf.unsaved or known

    def _check_harmless(self, error: StoreError) -> None:
        """Raise the store's `error` if to go on without it could cost what exists only once.

        Two who renew at once would use the same refresh token, and servers that find one used
        twice end the whole session (RFC 9700 section 4.14).
        """
        if self._provider.rotates:
            raise error

    def _words(self, error: SidekeyError, before: Attempts) -> str:
        """Return why the credential was refused, and whether we may have caused it ourselves."""
        cut_off = before.cut_off
        if self._provider.rotates and cut_off is not None and cut_off.generation:
            how = "was cut off" if cut_off.end == "open" else "brought no answer of use"
            error.detail += (
                f"; the renewal that began at {cut_off.at:%H:%M} UTC {how}"
                " and may have used up the refresh token"
            )
        return self._redaction.masked(error.detail)

    def _flow(self, latest: Entry | None) -> TokenFlow:
        """Begin with the latest token, but for a refresh token that the clock has overtaken."""
        token = None if latest is None or self._anew else latest.token
        over_at = None if token is None else token.refresh_expires_at
        if token is not None and over_at is not None and self._clock.wall() >= over_at:
            token = replace(token, refresh_token=None, refresh_expires_at=None)
        return self._provider.acquire(token)

    def _replaces(self, latest: Entry | None, known: Entry | None) -> TypeGuard[Entry]:
        """Tell whether the store had a token that may be used in the place of the known one."""
        return latest is not None and latest is not known and latest.usable(self._clock.wall())
