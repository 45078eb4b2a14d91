"""What is looked after while the proxy runs, whether or not a request comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress

from proxy.clock import Clock
from proxy.credentials.source import Source
from proxy.events import ClockJumped, Observer
from proxy.mistakes import survived

INTERVAL = 1.0  # seconds until a login by another process is noticed
JUMP = 60.0  # seconds by which the clock is set, not slewed


@asynccontextmanager
async def tending(
    sources: Callable[[], Collection[Source]], observe: Observer, clock: Clock
) -> AsyncIterator[None]:
    """Look after the tokens of `sources`, and after the clock, until the block ends."""
    task = asyncio.create_task(_tend(sources, observe, clock), name="tend the tokens")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _tend(sources: Callable[[], Collection[Source]], observe: Observer, clock: Clock) -> None:
    """Renew, notice what other processes do, and tell when somebody sets the clock."""
    ahead = clock.wall().timestamp() - clock.elapsed()
    while True:
        await asyncio.sleep(INTERVAL)
        before, ahead = ahead, clock.wall().timestamp() - clock.elapsed()
        if abs(ahead - before) >= JUMP:
            observe(ClockJumped(round(ahead - before, 3)))
        for source in sources():
            async with survived():
                source.tend()
