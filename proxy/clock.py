"""What time it is, and how chance decides, for whoever lets tests decide both."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

# Linux stops CLOCK_MONOTONIC while the machine sleeps, and tokens grow old meanwhile.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def utc_now() -> datetime:
    """Return the wall time as an aware datetime."""
    return datetime.now(UTC)


def elapsed() -> float:
    """Return seconds that nobody sets and that go on while the machine sleeps."""
    return time.clock_gettime(_ELAPSED)


@dataclass(frozen=True, slots=True)
class Clock:
    """`wall` is for what is kept and may jump; `elapsed` measures spans within this process.

    `jitter` draws a number between two.
    """

    wall: Callable[[], datetime] = utc_now
    elapsed: Callable[[], float] = elapsed
    jitter: Callable[[float, float], float] = random.uniform
