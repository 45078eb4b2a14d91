"""Troubles that a test can switch on."""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web


class Faults:
    """What goes wrong in front of `/api`, as an overloaded site's nginx would show it."""

    def __init__(self) -> None:
        self.delay = 0.0
        """Seconds to wait before every answer."""
        self._failures: deque[int] = deque()

    def fail_next(self, count: int, status: int) -> None:
        """Answer the next `count` requests with `status` and a small HTML page."""
        self._failures.extend([status] * count)

    async def strike(self) -> web.Response | None:
        """Wait for `delay`; then the failure that is due, if there is one."""
        if self.delay:
            await asyncio.sleep(self.delay)
        if not self._failures:
            return None
        status = self._failures.popleft()
        return web.Response(
            status=status, text=f"<html><h1>{status}</h1></html>", content_type="text/html"
        )
