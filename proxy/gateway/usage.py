"""Who still uses something that is to be closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Usage:
    """Counts users."""

    def __init__(self) -> None:
        self._users = 0
        self._over: asyncio.Event | None = None  # somebody waits

    @property
    def users(self) -> int:
        """How many there are now."""
        return self._users

    def begin(self) -> None:
        """Count one user more."""
        self._users += 1

    def end(self) -> None:
        """Count one user less."""
        self._users -= 1
        if not self._users and self._over is not None:
            self._over.set()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count one user while the block runs."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    async def over(self) -> None:
        """Wait until there is no user."""
        while self._users:
            if self._over is None or self._over.is_set():
                self._over = asyncio.Event()
            await self._over.wait()
