"""Hands out the current token of one upstream."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta

from proxy.credentials.attempts import Attempts
from proxy.credentials.backoff import Backoff
from proxy.credentials.entry import Entry
from proxy.credentials.lifetime import Lifetime
from proxy.credentials.providers import Provider
from proxy.credentials.renewal import Renewal
from proxy.credentials.resources import Resources
from proxy.credentials.secret import Secret
from proxy.credentials.shelf import Shelf
from proxy.credentials.token import Token
from proxy.errors import (
    CredentialError,
    CredentialExhausted,
    SidekeyError,
    StoreError,
    Superseded,
    TokenPending,
)
from proxy.events import TokenExpired, TokenFailed, TokenForgotten, TokenRejected

PATIENCE = 10.0  # seconds that a request waits for a token,
BRIEFLY = 1.0  # and for the next one while the one at hand has hardly any life left
GRACE = 3.0  # seconds that a renewal under way has to end in: a container is killed after 10
REFUSED = 20 * 60.0  # seconds that a refused credential rests in this process
KEY_REST = 300.0  # seconds for which a rejected key of several is not tried again
UNSEEN = object()  # the store's version before the first look


class Source:
    """Acquires, keeps, renews and rejects the token of the upstream `name`.

    With a fresh token at hand, `token()` touches no lock and no I/O. While the token is good, it is
    renewed in the background; only in the last part of its life, or without one, requests wait.
    Whatever takes longer runs once for everybody, in a task that no client's leaving cancels.
    """

    def __init__(
        self,
        name: str,
        provider: Provider,
        base_url: str,
        resources: Resources,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self.name = name
        self.provider = provider
        self.redaction = resources.redaction
        self._observe = resources.observe
        self._clock = resources.clock
        self._patience = patience
        self._shelf = Shelf(name, provider, base_url, resources)
        self._renewal = Renewal(name, provider, self._shelf, resources)
        self._entry: Entry | None = None  # is handed out
        self._known: Entry | None = None  # whatever its state: what a renewal begins with
        self._lifetime = Lifetime(resources.clock)
        self._used = False
        self._rejected: Secret | None = None
        self._keys_rejected_at: dict[Secret, float] = {}
        self._version: object = UNSEEN
        self._task: asyncio.Task[None] | None = None
        self._renewing = False
        self._closing = False
        self._failure: SidekeyError | None = None
        self._backoff = Backoff(resources.clock.jitter)
        self._save_backoff = Backoff(resources.clock.jitter)

    @property
    def entry(self) -> Entry | None:
        """The entry in memory that is handed out."""
        return self._entry

    @property
    def failure(self) -> SidekeyError | None:
        """Why the last attempt to get a token failed, `None` after a success."""
        return self._failure

    @property
    def renewing(self) -> bool:
        """Whether a token is being fetched."""
        return self._renewing

    @property
    def saved(self) -> bool:
        """Whether the token would survive this process, as far as it should."""
        return self._shelf.unsaved is None

    async def token(self, rejected: Token | None = None) -> Token:
        """Return a token to inject; never the one that the upstream just `rejected`.

        A late rejection of an older token renews nothing: what counts is the token that failed.
        Raises `CredentialError`, `TokenEndpointError` or `StoreError`.
        """
        if rejected is not None:
            self.reject(rejected)
        entry = self._entry
        if entry is not None:
            self._used = True
            now = self._clock.elapsed()
            if now < self._lifetime.deadlines.soft:
                return entry.token
            if now < self._lifetime.deadlines.hard:
                self._begin()
                return entry.token
        entry = await self._waited()
        self._used = True
        return entry.token

    def at_hand(self) -> Token | None:
        """Return the token if nothing is to be done about it: no waiting, and no renewal."""
        if self._entry is None or self._clock.elapsed() >= self._lifetime.deadlines.soft:
            return None
        self._used = True
        return self._entry.token

    def reject(self, rejected: Token) -> None:
        """Take note that the upstream rejected a token; a late word about an older one is nothing.

        Raises `CredentialExhausted` if a rejection has just been answered with this very token:
        then the token is not the reason, and asking for more of them would only spend them.
        """
        entry = self._entry
        if entry is None or entry.token.value != rejected.value:
            return
        if self.provider.buys and entry.was_just_forced(self._clock.wall()):
            raise CredentialExhausted("the upstream rejected a token that was just renewed")
        if not self.provider.kept:
            self._keys_rejected_at[rejected.value] = self._clock.elapsed()
        self._lifetime.learn(entry)
        self._entry = None
        self._rejected = rejected.value
        self._observe(TokenRejected(self.name))

    async def keep(self, token: Token) -> None:
        """Persist `token`, then hand it out from now on. Raises `StoreError`."""
        self._publish(await self._shelf.keep(token, self._known))

    async def refresh(self, *, heeding: bool = False) -> Token:
        """Renew now, because somebody asks for it; past refusals count only if `heeding`.

        It goes on until `close`, though the one who asked may leave.
        """
        if not heeding:
            await self._shelf.note(Attempts())
        self._known = await self._shelf.latest(self._known)
        task = self._start(self._renew())
        await asyncio.wait({task})
        task.result()
        if self._failure is not None:
            raise self._failure
        assert self._entry is not None
        return self._entry.token

    async def peek(self) -> Entry | None:
        """Return the latest entry, of memory or of the store. Raises `StoreError`."""
        return self._entry or await self._shelf.latest(self._known)

    async def attempts(self) -> Attempts:
        """Return the attempts of the last hour that did not end in a token."""
        return (await self._shelf.attempts()).recent(self._clock.wall())

    async def forget(self) -> bool:
        """Remove the token from memory and from the store; `False` if the store had none."""
        self._entry = self._known = None  # whoever is renewing it is waited for
        await self._renewal.release()
        async with AsyncExitStack() as stack:
            with suppress(StoreError):
                await stack.enter_async_context(self._shelf.lock())
            return await self._shelf.delete()

    def is_usable(self, entry: Entry) -> bool:
        """Tell whether the token may still be sent."""
        return entry.usable(self._clock.wall()) and entry.token.value != self._rejected

    def next_renewal(self, entry: Entry | None) -> datetime | None:
        """Return when `entry` is renewed, if somebody uses it; `None` if it does not expire.

        What cannot be used is renewed at the next request, once the endpoint has rested.
        """
        if entry is None or not self.is_usable(entry):
            rest = self._backoff.again_at - self._clock.elapsed()
            return self._clock.wall() + timedelta(seconds=rest) if 0 < rest < math.inf else None
        return self._lifetime.renewal_of(
            entry, at_hand=entry is self._entry, rests_until=self._backoff.again_at
        )

    def tend(self) -> None:
        """Do what is due without a request; to be called about once a second.

        A token that nobody used is not renewed: who comes then waits for one.
        """
        self._expire()
        if self._task is not None or self._closing:
            return
        unsaved = self._shelf.unsaved
        if self._changed() or (
            unsaved is not None and self._clock.elapsed() >= self._save_backoff.again_at
        ):
            self._start(self._look())
        elif self._entry is not None and self._used:
            self._begin()

    async def settle(self) -> None:
        """Wait for what is under way."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def close(self, grace: float = GRACE) -> None:
        """Wait for what is under way, since a token may exist only once, but not for ever.

        Nothing begins any more.
        """
        self._closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.settle()
        if self._task is not None:
            self._task.cancel()
            await self.settle()
        if self._shelf.unsaved is not None:
            await self._save(self._shelf.unsaved)
        await self._renewal.release()

    def _expire(self) -> None:
        """Let go of a token that has expired by any clock."""
        if self._entry is None:
            return
        self._lifetime.heed_wall_clock(self._entry)
        if self._lifetime.over():
            self._entry = None
            self._observe(TokenExpired(self.name))

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        self._task = asyncio.create_task(work, name=f"token of {self.name}")
        self._task.add_done_callback(self._finished)
        return self._task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # every waiter may have left: somebody has to look at it

    def _begin(self) -> asyncio.Task[None] | None:
        """Return what is under way; begin what is due and may begin."""
        if self._task is None and not self._closing and self._is_due():
            if self._clock.elapsed() >= self._backoff.again_at:
                self._start(self._renew())
            elif self._changed():
                self._start(self._look())
        return self._task

    def _is_due(self) -> bool:
        return self._entry is None or self._lifetime.due()

    async def _waited(self) -> Entry:
        """Wait until there is a token, but not for long; the old one serves on while it lives."""
        patience = self._patience if self._alive() is None else BRIEFLY
        deadline = self._clock.elapsed() + patience
        for _ in range(2):  # what is under way may be no renewal; then the second one is
            task = self._begin()
            if task is None:
                break
            await asyncio.wait({task}, timeout=max(deadline - self._clock.elapsed(), 0))
            if not task.done() or task.cancelled():
                return self._alive_or(self._pending())
            task.result()  # raises what is no failure of a token endpoint
            if self._entry is not None and self._clock.elapsed() < self._lifetime.deadlines.hard:
                return self._entry
        return self._alive_or(self._failure or self._pending())

    def _pending(self) -> TokenPending:
        why = f"no token could be had within {self._patience:.0f} s; it is still being fetched"
        return TokenPending(why, upstream=self.name, retry_after=1.0)

    def _alive(self) -> Entry | None:
        return None if self._lifetime.over() else self._entry

    def _alive_or(self, error: SidekeyError) -> Entry:
        entry = self._alive()
        if entry is not None:
            return entry
        if error.retry_after is not None and error is self._failure:
            error.retry_after = max(self._backoff.again_at - self._clock.elapsed(), 0.0)
        raise error.with_traceback(None)  # one that is raised again and again collects frames

    async def _renew(self) -> None:
        self._version = self._seen()
        self._renewing = True
        try:
            entry = await self._renewal.next(self._known, self._rejected)
            self._check_key(entry)
        except CredentialExhausted:
            self._entry, self._rejected = self._known, None  # it is all there is
            raise
        except SidekeyError as error:
            self._failed(error)
        else:
            self._publish(entry)
        finally:
            self._renewing = False

    async def _look(self) -> None:
        """Take over what others have put into the store, or removed; give it what it lacks."""
        seen = self._seen()
        try:
            latest = await self._shelf.latest(self._known)
        except StoreError:  # whoever needs the token will hear of it
            self._save_backoff.failed(self._clock.elapsed())
            return
        self._version = seen
        if isinstance(self._failure, StoreError):
            self._backoff.reset()
        if latest is None and self._known is not None:
            if self.is_usable(self._known):  # else a store has let it go by itself
                self._observe(TokenForgotten(self.name))
            self._entry = self._known = None
        elif latest is not None and latest is not self._known:
            self._adopt(latest)
        if self._shelf.unsaved is not None:
            await self._save(self._shelf.unsaved)
        await self._renewal.let_others()

    def _adopt(self, latest: Entry) -> None:
        if latest.usable(self._clock.wall()):
            self._publish(self._shelf.found(latest))
            return
        self._known = latest
        if latest.rejected:
            self._entry = None

    async def _save(self, entry: Entry) -> None:
        try:
            await self._shelf.save(entry)
        except Superseded:
            self._version = UNSEEN
        await self._renewal.let_others()
        if self._shelf.unsaved is not None:
            self._save_backoff.failed(self._clock.elapsed())
        else:
            self._save_backoff.reset()

    def _changed(self) -> bool:
        return self._seen() != self._version

    def _seen(self) -> object:
        """Return the version of the store's entry; a store that fails has nothing new to say."""
        try:
            return self._shelf.version()
        except StoreError:
            return self._version

    def _publish(self, entry: Entry) -> None:
        outlived = self._entry is not None and self._entry is not entry
        self._lifetime.begin(entry, self._known, outlived=outlived)
        self._entry = self._known = entry
        self._used = False
        self._rejected = None
        self._failure = None
        self._backoff.reset()

    def _failed(self, error: SidekeyError) -> None:
        """Remember the failure, so that the token endpoint is not asked at every request."""
        error.upstream = self.name
        error.detail = self.redaction.masked(error.detail)
        known = self._failure is not None and self._failure.detail == error.detail
        self._failure = error
        pause = self._pause(error)
        if pause or not known:
            self._observe(TokenFailed(self.name, error.slug, error.detail, error.fix, pause))

    def _pause(self, error: SidekeyError) -> float:
        """Return the seconds until the next try: a wrong password must not lock an account."""
        now = self._clock.elapsed()
        if not isinstance(error, CredentialError):
            error.retry_after = self._backoff.failed(now, error.retry_after or 0.0)
            return error.retry_after
        if not self.provider.buys:
            self._backoff.rest(now, math.inf)  # until somebody has signed in
            return 0.0
        pause = REFUSED if error.retry_after is None else error.retry_after
        self._backoff.rest(now, pause)
        return pause

    def _check_key(self, entry: Entry) -> None:
        """Raise `CredentialExhausted` if the turn is at a key that was just rejected too."""
        rejected_at = self._keys_rejected_at.get(entry.token.value, -math.inf)
        if self._clock.elapsed() < rejected_at + KEY_REST:
            raise CredentialExhausted("the upstream rejected every key")
