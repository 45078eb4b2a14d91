"""When a token endpoint that failed may be asked again. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

LONGEST = 60.0  # seconds
TRIES, SPAN = 6, 60.0  # as many tries within that many seconds at most


class Backoff:
    """Pauses that grow with each failure, each drawn anew between nothing and its longest.

    Full jitter (AWS, "Exponential Backoff And Jitter") keeps many clients of a failing server
    apart; the limit of tries keeps a lucky draw from hammering it.
    """

    def __init__(self, jitter: Callable[[float, float], float]) -> None:
        self.again_at = -math.inf
        self._jitter = jitter
        self._failures = 0
        self._tries: deque[float] = deque(maxlen=TRIES)

    def failed(self, now: float, at_least: float = 0.0) -> float:
        """Note a failure; return the seconds until the next try, `at_least` those."""
        longest = min(LONGEST, 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._tries.append(now)
        pause = max(at_least, self._jitter(0.0, longest))
        if len(self._tries) == TRIES:
            pause = max(pause, self._tries[0] + SPAN - now)
        self.again_at = now + pause
        return pause

    def rest(self, now: float, seconds: float) -> None:
        """Let nobody try for so long."""
        self.again_at = now + seconds

    def reset(self) -> None:
        """Forget the failures, but not when there were any."""
        self._failures = 0
        self.again_at = -math.inf
