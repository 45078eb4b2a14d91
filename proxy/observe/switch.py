"""Whether contents are recorded: one switch for all workers."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from proxy.gateway.recorder import Recorder
from proxy.observe.sharing import Sharing

SECTION = "recording"  # of what processes share
_Turned = tuple[float, bool]  # when, in epoch seconds, and whether to on


class Switch:
    """Turns the recorder on and off, and with `sharing` those of other workers, in a moment."""

    def __init__(
        self,
        recorder: Recorder,
        sharing: Sharing | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._recorder = recorder
        self._now = now
        self._turned: _Turned = (0.0, False)
        if sharing is not None:
            sharing.offer(SECTION, lambda: msgspec.msgpack.encode(self._turned))
            sharing.heed(SECTION, self._heard)

    def turn(self, *, on: bool) -> None:
        """Begin or end to record contents."""
        self._take((self._now(), on))

    def _heard(self, told: list[msgspec.Raw]) -> None:
        latest = max(msgspec.msgpack.decode(document, type=_Turned) for document in told)
        if latest > self._turned:
            self._take(latest)

    def _take(self, turned: _Turned) -> None:
        self._turned = turned
        self._recorder.switch(records_content=turned[1])
