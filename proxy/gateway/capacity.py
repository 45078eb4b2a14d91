"""How many connections clients may hold at once, over all listeners."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from proxy.events import ConnectionsExhausted, Observer

SILENCE = 10.0  # seconds at least between two events


class Capacity:
    """Counts connections; makes room by closing the one that has been idle longest.

    A head that is not complete is as good as idle: anybody can send half of one.
    """

    def __init__(
        self, limit: int, observe: Observer, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._observe = observe
        self._now = now
        self._quiet_until = now()
        self._open: set[asyncio.Transport] = set()
        self._idle: OrderedDict[asyncio.Transport, None] = OrderedDict()

    def admit(self, connection: asyncio.Transport) -> bool:
        """Count a new connection; tell whether there is room, which is made if need be."""
        if len(self._open) >= self._limit:
            self._tell()
            if not self._idle:
                return False
            oldest, _ = self._idle.popitem(last=False)
            self.leave(oldest)
            oldest.abort()
        self._open.add(connection)
        self.rest(connection)
        return True

    def rest(self, connection: asyncio.Transport) -> None:
        """Note that no request is under way on a connection from now on."""
        if connection in self._open:
            self._idle[connection] = None
            self._idle.move_to_end(connection)

    def work(self, connection: asyncio.Transport) -> None:
        """Note that a request is under way."""
        self._idle.pop(connection, None)

    def leave(self, connection: asyncio.Transport) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def _tell(self) -> None:
        if self._now() >= self._quiet_until:
            self._quiet_until = self._now() + SILENCE
            self._observe(ConnectionsExhausted(self._limit))
