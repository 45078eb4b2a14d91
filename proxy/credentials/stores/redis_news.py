"""Hears from Redis which entries change, and that a lock is free."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from proxy.mistakes import survived

TIMEOUT = 2.0  # seconds, for a connection and for each command
RECONNECT = 0.2, 1.0  # seconds until the channel is tried again
WAKE = 1.0  # seconds after which a waiter looks again, and after which silence is probed


class News:
    """What is told on `channel`: names of entries that changed, nothing for a lock set free.

    Whoever waits for `woken` is woken by the next news; there is another one for those after it.
    """

    def __init__(self, redis: Redis, channel: str) -> None:
        self.channel = channel
        self.woken = asyncio.Event()
        self._redis = redis
        self._connections = 0
        self._changes: Counter[str] = Counter()
        self._listening: asyncio.Task[None] | None = None

    def version(self, name: str) -> object:
        """Return how often a change was told, or may have been while nobody listened."""
        return self._connections, self._changes[name]

    def listen(self) -> None:
        """Listen from now on, if nobody does yet."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._hear(), name="hear the store's news")

    async def aclose(self) -> None:
        """Listen no more."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
            self._listening = None

    async def _hear(self) -> None:
        while True:
            async with survived():
                with suppress(RedisError, OSError, TimeoutError):
                    await self._hear_until_it_breaks()
            await asyncio.sleep(random.uniform(*RECONNECT))  # noqa: S311  no secret

    async def _hear_until_it_breaks(self) -> None:
        async with self._redis.pubsub() as channel:
            async with asyncio.timeout(TIMEOUT):
                await channel.subscribe(self.channel)
            while await self._hears_on(channel):
                pass

    async def _hears_on(self, channel: PubSub) -> bool:
        """Hear one message; `False` if the connection has died without a word."""
        message = await channel.get_message(timeout=WAKE)
        if message is None:
            async with asyncio.timeout(TIMEOUT):
                await channel.ping()
            message = await channel.get_message(timeout=TIMEOUT)
        if message is not None:
            self._heard(message)
        return message is not None

    def _heard(self, message: dict[str, Any]) -> None:
        if message["type"] == "pong":
            return
        if message["type"] == "subscribe":  # again, after the library has connected anew by itself
            self._connections += 1
        else:
            self._changes[message["data"].decode(errors="replace")] += 1
        self.woken.set()
        self.woken = asyncio.Event()
