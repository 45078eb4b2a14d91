"""How long an upstream may take until its answer begins."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """The time that the upstream has for each piece of a request, and then for its answer's head.

    aiohttp's own timeout waits for ever for one who takes no content, begins anew with every byte
    and ends with an interim answer (103). While the client is to send more, this one rests.
    """

    def __init__(self, connect: float, read: float) -> None:
        """Begin with both: `connect` seconds for the connection, `read` for the first piece."""
        self._connect = connect
        self._read = read
        self._timeout = asyncio.timeout(connect + read)
        self._is_met = False

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_met = True
        await self._timeout.__aexit__(kind, error, trace)

    def begin_anew(self) -> None:
        """Another connection is to be made, and all is to be sent once more."""
        now = asyncio.get_running_loop().time()
        self._reschedule(now + self._connect + self._read)

    def run(self) -> None:
        """It is the upstream's turn."""
        self._reschedule(asyncio.get_running_loop().time() + self._read)

    def rest(self) -> None:
        """It is the client's turn."""
        self._reschedule(None)

    def _reschedule(self, when: float | None) -> None:
        if not (self._is_met or self._timeout.expired()):
            self._timeout.reschedule(when)
