"""Keeps tokens in Redis or Valkey, so that a fleet on several hosts shares one token life.

    PREFIX:entry:NAME           hash: key (which one), fingerprint, series, generation, sealed;
                                or deleted, for a day
    PREFIX:attempts:CREDENTIAL  attempts to get a token, for an hour
    PREFIX:lock:FINGERPRINT     the right to get a token: its owner, for `LEASE`
    PREFIX:news                 channel, see `redis_news.py`

Values are sealed as in the file store. A lease can end while its holder stands still, so what
protects an entry is that a save compares generations in the server (Kleppmann, "How to do
distributed locking").
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from proxy.clock import utc_now
from proxy.credentials.attempts import SPAN, Attempts
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores import base
from proxy.credentials.stores.record import decode, decode_attempts, encode, encode_attempts
from proxy.credentials.stores.redis_news import TIMEOUT, WAKE, News
from proxy.credentials.stores.seal import Seal
from proxy.errors import EntryLost, ForeignEntry, StoreBusy, StoreError, Superseded

DOWN = 5.0  # seconds for which a server that did not answer is left alone
LASTING = timedelta(days=1)  # for which an entry outlives its use, and a deletion is remembered

_SAVE = """
local kept = redis.call('HMGET', KEYS[1], 'fingerprint', 'series', 'generation', 'key')
if kept[4] and kept[4] ~= ARGV[7] then return -1 end
if kept[1] == ARGV[1] and (kept[2] ~= ARGV[2] or tonumber(kept[3]) >= tonumber(ARGV[3])) then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'key', ARGV[7], 'fingerprint', ARGV[1], 'series', ARGV[2],
  'generation', ARGV[3], 'sealed', ARGV[4])
if tonumber(ARGV[5]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
redis.call('PUBLISH', KEYS[2], ARGV[6])
return 1
"""
_DELETE = """
local kept = redis.call('HEXISTS', KEYS[1], 'sealed')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'deleted', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PUBLISH', KEYS[2], ARGV[2])
return kept
"""
_ACQUIRE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""  # the lock may be ours already: the library sends again what was cut off
_EXTEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', KEYS[2], '')
return 1
"""


class RedisLease:
    """A lock that is this process's until `until`, on the monotonic clock."""

    def __init__(self) -> None:
        self.until = time.monotonic() + base.LEASE

    def check(self) -> None:
        """Raise `Superseded` if the lease is over: others may have gone on."""
        if time.monotonic() >= self.until:
            raise Superseded("this process stood still, and another one has gone on meanwhile")


class RedisStore:
    """A store at `url`, encrypted with `key`; `prefix` begins the names of its keys.

    Raises `ValueError` or `TypeError` for options in the URL that the library does not know.
    """

    def __init__(self, url: Secret, key: Secret, *, prefix: str = "sidekey") -> None:
        self._redis: Redis = Redis.from_url(
            url.reveal(),
            socket_timeout=None,
            socket_connect_timeout=None,
            health_check_interval=10,
            retry=Retry(NoBackoff(), 1),  # a connection that a restarted server has forgotten
            client_name="sidekey",
            decode_responses=False,
        )
        # Raises now what it would raise later.
        self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        self._save = self._redis.register_script(_SAVE)
        self._delete = self._redis.register_script(_DELETE)
        self._acquire = self._redis.register_script(_ACQUIRE)
        self._extend = self._redis.register_script(_EXTEND)
        self._release = self._redis.register_script(_RELEASE)
        self._prefix = prefix
        self._news = News(self._redis, f"{prefix}:news")
        self._seal = Seal(key.reveal())
        self._key = self._seal.fingerprint("")  # tells it from others, and nothing about it
        self._held: set[str] = set()
        self._down_until = 0.0

    def fingerprint(self, material: str) -> str:
        """Return a keyed digest of `material`."""
        return self._seal.fingerprint(material)

    def version(self, name: str) -> object:
        """Return how often the server has told of a change, or may have while nobody listened."""
        return self._news.version(name)

    async def load(self, name: str, fingerprint: str) -> Entry | None:
        """Return the entry; what was held and is gone without a trace is lost, not deleted."""
        async with self._command():
            kept = cast("dict[bytes, bytes]", await self._redis.hgetall(self._entry(name)))
        if b"sealed" not in kept:
            if name in self._held and b"deleted" not in kept:
                raise EntryLost("the store has lost the entry", upstream=name)
            return None
        try:
            found, content = self._seal.open(name, kept[b"sealed"])
            entry = decode(content)
        except ValueError as error:
            raise _unreadable(name, str(error)) from None
        if found != fingerprint:
            raise ForeignEntry("the entry belongs to another configuration", upstream=name)
        self._held.add(name)
        return entry

    async def save(self, name: str, fingerprint: str, entry: Entry) -> None:
        """Keep `entry`, if the server has none that is as late."""
        sealed = self._seal.close(name, fingerprint, encode(entry))
        lasting = _milliseconds(entry, utc_now())
        order: list[str | int | bytes] = [fingerprint, entry.series, entry.generation]
        async with self._command():
            saved = await self._save(
                [self._entry(name), self._news.channel], [*order, sealed, lasting, name, self._key]
            )
        if saved < 0:
            raise _unreadable(name, "another key")
        if not saved:
            raise Superseded("another process has kept a later token")
        self._held.add(name)

    async def delete(self, name: str) -> bool:
        """Forget the entry, and let those who hold it know for a day."""
        arguments: list[str | int] = [LASTING // timedelta(milliseconds=1), name]
        async with self._command():
            kept = await self._delete([self._entry(name), self._news.channel], arguments)
        self._held.discard(name)
        return bool(kept)

    async def attempts(self, credential: str) -> Attempts:
        """Return what was noted of the credential; what cannot be read was not noted by us."""
        async with self._command():
            key = f"{self._prefix}:attempts:{credential}"
            sealed = cast("bytes | None", await self._redis.get(key))
        if sealed is None:
            return Attempts()
        with suppress(ValueError):
            return decode_attempts(self._seal.open(credential, sealed)[1])
        return Attempts()

    async def note(self, credential: str, attempts: Attempts) -> None:
        """Keep `attempts` for an hour."""
        key = f"{self._prefix}:attempts:{credential}"
        async with self._command():
            if attempts.made:
                sealed = self._seal.close(credential, credential, encode_attempts(attempts))
                await self._redis.set(key, sealed, px=SPAN)
            else:
                await self._redis.delete(key)

    @asynccontextmanager
    async def lock(self, fingerprint: str) -> AsyncIterator[RedisLease]:
        """Hold what has that fingerprint in the whole fleet."""
        key, owner = f"{self._prefix}:lock:{fingerprint}", secrets.token_hex(16)
        try:
            lease = await self._acquired(key, owner)
        except asyncio.CancelledError:  # the server may have granted it, and nobody has heard of it
            await self._let_go(key, owner)
            raise
        extending = asyncio.create_task(self._keep(lease, key, owner), name="hold the lock")
        try:
            yield lease
        finally:
            extending.cancel()
            await asyncio.wait({extending})
            await self._let_go(key, owner)

    async def tidy(self) -> None:
        """Leave everything: the server removes what is over."""

    async def aclose(self) -> None:
        """Close every connection."""
        await self._news.aclose()
        await self._redis.aclose()

    def _entry(self, name: str) -> str:
        return f"{self._prefix}:entry:{name}"

    @asynccontextmanager
    async def _command(self, *, even_if_down: bool = False) -> AsyncIterator[None]:
        """Limit the time of a command, and turn the library's errors into ours.

        Their texts may hold the URL. The library's own timeouts lose a cancellation now and then
        before Python 3.12 (`asyncio.wait_for`, CPython issue 81839), so it has none.
        """
        if time.monotonic() < self._down_until and not even_if_down:
            raise _unusable("it did not answer a moment ago")
        self._news.listen()
        try:
            async with asyncio.timeout(TIMEOUT):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                self._down_until = time.monotonic() + DOWN
            raise _unusable(type(error).__name__) from None

    async def _acquired(self, key: str, owner: str) -> RedisLease:
        deadline = time.monotonic() + base.LOCK_PATIENCE
        while True:
            woken, lease = self._news.woken, RedisLease()  # before asking: it errs early
            async with self._command():
                if await self._acquire([key], [owner, round(base.LEASE * 1000)]):
                    return lease
            left = deadline - time.monotonic()
            if left <= 0:
                raise StoreBusy("another process has been getting a token for too long")
            with suppress(TimeoutError):
                async with asyncio.timeout(min(WAKE, left)):
                    await woken.wait()

    async def _let_go(self, key: str, owner: str) -> None:
        with suppress(StoreError):  # then it ends with its lease
            async with self._command(even_if_down=True):
                await self._release([key, self._news.channel], [owner])

    async def _keep(self, lease: RedisLease, key: str, owner: str) -> None:
        """Extend the lease until it is cancelled, or was lost."""
        milliseconds = round(base.LEASE * 1000)
        while True:
            await asyncio.sleep(base.LEASE / 3)
            until = time.monotonic() + base.LEASE
            with suppress(StoreError):
                async with self._command():
                    if not await self._extend([key], [owner, milliseconds]):
                        lease.until = 0.0
                        return
                lease.until = until


def _unreadable(name: str, why: str) -> StoreError:
    return StoreError(
        f"the entry of {name} cannot be read: {why}",
        fix="see that the whole fleet has the same store.key; sidekey logout {upstream} forgets it",
        upstream=name,
    )


def _unusable(why: str) -> StoreError:
    return StoreError(
        f"the Redis store cannot be used ({why})",
        fix="see whether store.url of the configuration is right and the server up",
    )


def _milliseconds(entry: Entry, now: datetime) -> int:
    """Return how long an entry is to be kept; 0 for one that may be of use for good."""
    end = entry.of_use_until
    return (
        0 if end is None else (max(end - now, timedelta(0)) + LASTING) // timedelta(milliseconds=1)
    )
