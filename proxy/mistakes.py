"""What happens to mistakes of our own: the log tells where they are, and what can go on goes on."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LOGGER = logging.getLogger("sidekey")
PAUSE = 10.0  # seconds: one that comes back again and again does not fill the log


def tell(mistake: BaseException) -> None:
    """Log what it is and where it happened; its own text may hold a secret."""
    frames = "".join(traceback.format_tb(mistake.__traceback__))
    LOGGER.error("internal error: %s\n%s", type(mistake).__name__, frames)


@asynccontextmanager
async def survived() -> AsyncIterator[None]:
    """Tell of a mistake in the block and wait a while: whoever works in a loop goes on then."""
    try:
        yield
    except Exception as mistake:  # noqa: BLE001  a task that nobody awaits would end unheard
        tell(mistake)
        await asyncio.sleep(PAUSE)
