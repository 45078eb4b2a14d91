"""Hands out the current token of one upstream."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from proxy.credentials.exchange import Exchange
from proxy.credentials.identity import material
from proxy.credentials.providers import InteractiveProvider, Provider
from proxy.credentials.redaction import Redaction
from proxy.credentials.stores.base import Store
from proxy.credentials.token import Token
from proxy.errors import (
    CredentialError,
    CredentialExhausted,
    LoginRequired,
    SidekeyError,
    StoreError,
)
from proxy.events import (
    Observer,
    TokenAcquired,
    TokenDropped,
    TokenFailed,
    TokenLoaded,
    TokenNotStored,
    TokenRejected,
)

REJECTED = "rejected"  # an output of such a token
UNSEEN = object()  # the store's version before the first look
EARLY = timedelta(seconds=60)  # a token is renewed this long before it expires,
EARLY_SHARE = 10  # or in the last tenth of its life, whichever is shorter
BLOCKED = 20 * 60.0  # seconds: a refused credential is tried at most 3 times an hour
FORCED_INTERVAL = 30.0  # seconds between renewals that a rejection forces
BACKOFF_FIRST, BACKOFF_LAST = 1.0, 60.0  # seconds between tries of a token endpoint that fails


def is_rejected(token: Token) -> bool:
    """Tell whether the upstream rejected `token`, which only a human can replace."""
    return REJECTED in token.outputs


def utc_now() -> datetime:
    """Return the wall time as an aware datetime."""
    return datetime.now(UTC)


class Source:
    """Acquires, keeps, renews and rejects the token of the upstream `name`.

    With a fresh token at hand, `token()` touches no lock and no I/O.
    Whatever takes longer runs once for everybody, in a task that no client's leaving cancels.
    Every token it has to do with, rejected and expired ones too, is made known to `redaction`.
    """

    def __init__(
        self,
        name: str,
        provider: Provider,
        base_url: str,
        *,
        store: Store,
        exchange: Exchange,
        observe: Observer,
        redaction: Redaction,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.name = name
        self.provider = provider
        self.redaction = redaction
        self._base_url = base_url
        self._store = store
        self._exchange = exchange
        self._observe = observe
        self._now = now
        self._monotonic = monotonic
        self._jitter = jitter
        self._current: Token | None = None
        self._renew_at: datetime | None = None
        self._rejected: Token | None = None
        self._latest: Token | None = None  # whatever its state: what a renewal begins with
        self._version: object = UNSEEN
        self._task: asyncio.Task[Token] | None = None
        self._failure: SidekeyError | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._forced_at = -FORCED_INTERVAL

    @property
    def current(self) -> Token | None:
        """The token in memory, whatever its state."""
        return self._current

    @property
    def failure(self) -> SidekeyError | None:
        """Why the last attempt to get a token failed, `None` after a success."""
        return self._failure

    async def token(self, rejected: Token | None = None) -> Token:
        """Return a token to inject; never the one that the upstream just `rejected`.

        A late rejection of an older token renews nothing: what counts is the token that failed.
        Raises `CredentialError`, `TokenEndpointError` or `StoreError`.
        """
        if rejected is not None:
            self.reject(rejected)
        current = self._current
        if current is not None and self._fresh(current):
            return current
        if self._task is None:
            self._task = asyncio.create_task(self._obtain(), name=f"token of {self.name}")
            self._task.add_done_callback(self._finished)
        return await asyncio.shield(self._task)

    def reject(self, rejected: Token) -> None:
        """Take note that the upstream rejected a token; a late word about an older one is nothing.

        Raises `CredentialExhausted` if a rejection has just been answered with this very token:
        then the token is not the reason, and asking for more of them would only spend them.
        """
        if self._current is None or self._current.value != rejected.value:
            return
        if self._buys and self._monotonic() < self._forced_at + FORCED_INTERVAL:
            raise CredentialExhausted("the upstream rejected a token that was just renewed")
        self._forced_at = self._monotonic()
        self._current = None
        self._rejected = rejected
        self._observe(TokenRejected(self.name))

    async def keep(self, token: Token) -> None:
        """Persist `token`, then hand it out from now on. Raises `StoreError`."""
        await self._store.save(self.name, self._fingerprint(), token)
        self._version = self._seen()
        self._publish(token)

    async def stored(self) -> Token | None:
        """Return the token that the store keeps for this configuration."""
        if not self.provider.kept:
            return None
        token = await self._store.load(self.name, self._fingerprint())
        if token is not None:
            self._mask(token)
        return token

    async def forget(self) -> bool:
        """Remove the token from memory and from the store; `False` if the store had none."""
        self._current = self._latest = None
        return await self._store.delete(self.name)

    def renewal_of(self, token: Token) -> datetime | None:
        """Return when `token`, seen now, is to be renewed; `None` if it does not expire."""
        if token.expires_at is None:
            return None
        left = max(token.expires_at - self._now(), timedelta(0))
        return token.expires_at - min(EARLY, left / EARLY_SHARE)

    def notice_changes(self) -> None:
        """Let go of the token in memory if another process has changed the store's entry."""
        if self._task is None and self._seen() != self._version:
            self._current = None
            self._failure = None
            self._failures = 0

    async def drop_foreign(self) -> None:
        """Remove a stored token that an older configuration bought.

        Only a proxy that starts does this: one that has run for long may itself be the older.
        Raises `StoreError` if the store as a whole cannot be used.
        """
        if not self._buys:
            return  # a login costs a human, and may be that of another project: a login replaces it
        fingerprint = self._fingerprint()
        try:
            if await self._store.delete_foreign(self.name, fingerprint):
                self._observe(TokenDropped(self.name))
        except StoreError as error:  # stands in the way of this upstream's requests only
            self._observe(TokenFailed(self.name, error.slug, error.detail, error.fix, 0.0))

    async def close(self) -> None:
        """Wait for an attempt under way: what it fetches may exist only once."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def _buys(self) -> bool:
        """Whether new tokens come from a token endpoint, and not from a list or from a human."""
        return self.provider.kept and not isinstance(self.provider, InteractiveProvider)

    def _fresh(self, token: Token) -> bool:
        return self._renew_at is None or self._now() < self._renew_at

    def _finished(self, task: asyncio.Task[Token]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # every waiter may have left: somebody has to look at it

    async def _obtain(self) -> Token:
        try:
            await self._look_into_store()
        except StoreError as error:
            return self._failed(error)
        if self._current is not None and self._fresh(self._current):
            return self._current
        if self._failure is not None and self._monotonic() < self._retry_at:
            return self._old_token_or(self._failure)
        flow = self.provider.acquire(self._renewable(self._latest))
        try:
            token = await self._exchange.run(flow, self.provider)
        except CredentialExhausted:
            self._current, self._rejected = self._rejected, None  # it is all there is
            raise
        except LoginRequired as error:
            await self._remember_rejection()
            return self._failed(error)
        except SidekeyError as error:
            return self._failed(error)
        await self._save(token)
        self._publish(token)
        self._observe(TokenAcquired(self.name, token.expires_at))
        return token

    def _fingerprint(self) -> str:
        return self._store.fingerprint(material(self.provider, self._base_url))

    def _seen(self) -> object:
        """Return the version of the store's entry; a store that fails has nothing new to say."""
        try:
            return self._store.version(self.name) if self.provider.kept else None
        except StoreError:
            return self._version

    async def _look_into_store(self) -> None:
        """Take what another process has put there since we last looked or wrote.

        What we wrote ourselves is not read again: after a failed write it may be a dead token.
        """
        seen = self._seen()
        if seen == self._version:
            return
        stored = await self.stored()
        self._version = seen
        if stored is None and seen is not None:
            stored = self._latest  # the entry is another configuration's: ours lives on in memory
        else:
            self._rejected = None
        self._latest = stored
        if stored is not None and self._usable(stored) and stored != self._current:
            self._publish(stored)
            self._observe(TokenLoaded(self.name, stored.expires_at))

    async def _remember_rejection(self) -> None:
        """Mark a rejected token in the store: it is dead for the next process too.

        It is not deleted: a server that rejects everybody for a while is no reason to lose it.
        """
        token = self._latest
        if self._buys or token is None or is_rejected(token):
            return
        if self._rejected == token:
            self._latest = replace(token, outputs={**token.outputs, REJECTED: "yes"})
            await self._save(self._latest)

    async def _save(self, token: Token) -> None:
        """Persist before anybody uses it; a failing store costs the restart, not the request."""
        if not self.provider.kept:
            return
        try:
            await self._store.save(self.name, self._fingerprint(), token)
        except StoreError as error:
            self._observe(TokenNotStored(self.name, error.detail))
        self._version = self._seen()

    def _mask(self, token: Token) -> None:
        refresh = () if token.refresh_token is None else (token.refresh_token,)
        self.redaction.remember(token.value, *refresh)

    def _publish(self, token: Token) -> None:
        self._mask(token)
        self._current = self._latest = token
        self._rejected = None
        self._failure = None
        self._failures = 0
        self._renew_at = self.renewal_of(token)

    def _usable(self, token: Token) -> bool:
        """Tell whether `token` may still be sent: not rejected, not expired."""
        if self._rejected is not None and token.value == self._rejected.value:
            return False
        if is_rejected(token):
            return False
        return token.expires_at is None or self._now() < token.expires_at

    def _renewable(self, previous: Token | None) -> Token | None:
        """Return `previous` without a refresh token that the clock has overtaken."""
        if previous is None or previous.refresh_expires_at is None:
            return previous
        if self._now() < previous.refresh_expires_at:
            return previous
        return replace(previous, refresh_token=None, refresh_expires_at=None)

    def _old_token_or(self, error: SidekeyError) -> Token:
        """Return the old token while it lives, else raise."""
        if self._latest is not None and self._usable(self._latest):
            return self._latest
        if error.retry_after is not None:
            error.retry_after = max(self._retry_at - self._monotonic(), 0.0)
        raise error

    def _failed(self, error: SidekeyError) -> Token:
        """Remember the failure, so that the token endpoint is not asked at every request."""
        error.upstream = self.name
        error.detail = self.redaction.masked(error.detail)
        known = self._failure is not None and self._failure.detail == error.detail
        self._failure = error
        self._failures += 1
        pause = self._pause(error)
        self._retry_at = self._monotonic() + pause
        if pause or not known:
            self._observe(TokenFailed(self.name, error.slug, error.detail, error.fix, pause))
        return self._old_token_or(error)

    def _pause(self, error: SidekeyError) -> float:
        """Return the seconds until the next try: a wrong password must not lock an account."""
        if isinstance(error, CredentialError):
            return 0.0 if isinstance(self.provider, InteractiveProvider) else BLOCKED
        longest = min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** min(self._failures - 1, 10))
        error.retry_after = max(error.retry_after or 0.0, self._jitter(longest / 2, longest))
        return error.retry_after
