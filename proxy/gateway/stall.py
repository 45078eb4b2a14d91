"""Peers that read nothing more."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from collections.abc import Callable

_COUNT = struct.Struct("i")


class StallWatch:
    """Calls `give_up` when nothing of what waits on `transport` is taken for `patience` seconds.

    The transport's own close would wait for such a peer forever. What the kernel holds counts too:
    it takes more only after megabytes, which a slow but honest reader needs minutes for.

    `handed` tells how many bytes have been written so far. How many wait tells nothing by itself:
    behind a steady reader as much is written as it takes.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        patience: float,
        *,
        handed: Callable[[], int],
        give_up: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._patience = patience
        self._handed = handed
        self._give_up = give_up
        self._taken_before = 0  # bytes at the last look
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Watch until all is taken, if something waits."""
        if self._timer is None:
            self._look()

    def end(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size():
            self._taken_before = self._taken()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._patience, self._look_again)

    def _look_again(self) -> None:
        if self._transport.get_write_buffer_size() and self._taken() == self._taken_before:
            self._give_up()
        else:
            self._look()

    def _taken(self) -> int:
        return self._handed() - self._waiting()

    def _waiting(self) -> int:
        """Return how many bytes wait here and, where that can be known (Linux), in the kernel."""
        waiting = self._transport.get_write_buffer_size()
        with contextlib.suppress(OSError):
            descriptor = self._transport.get_extra_info("socket").fileno()
            found = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(_COUNT.size))
            waiting += _COUNT.unpack(found)[0]
        return waiting
