"""Who still uses something that is to be closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Usage:
    """Counts users."""

    def __init__(self) -> None:
        self._users = 0
        self._over = asyncio.Event()
        self._over.set()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count one user while the block runs."""
        self._users += 1
        self._over.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._over.set()

    async def over(self) -> None:
        """Wait until there is no user."""
        await self._over.wait()
