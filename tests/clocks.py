"""Time that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Wall time by calling it, monotonic time by `monotonic()`."""

    def __init__(self) -> None:
        self.time = datetime(2025, 6, 14, 9, 0, tzinfo=UTC)
        self.seconds = 1000.0

    def __call__(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.seconds

    def move(self, **span: float) -> None:
        """Let time pass: `move(hours=1)`."""
        self.time += timedelta(**span)
        self.seconds += timedelta(**span).total_seconds()
