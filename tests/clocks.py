"""Time that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from proxy import clock


class Clock:
    """Wall time by calling it, monotonic time by `monotonic()`; `system` is what a source takes.

    Chance always draws the longest span.
    """

    def __init__(self) -> None:
        self.time = datetime(2025, 6, 14, 9, 0, tzinfo=UTC)
        self.seconds = 1000.0
        self.system = clock.Clock(self, self.monotonic, lambda _shortest, longest: longest)

    def __call__(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.seconds

    def move(self, **span: float) -> None:
        """Let time pass: `move(hours=1)`."""
        self.time += timedelta(**span)
        self.seconds += timedelta(**span).total_seconds()

    def jump(self, **span: float) -> None:
        """Let somebody set the clock: `jump(hours=-1)`."""
        self.time += timedelta(**span)
