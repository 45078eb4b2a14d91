"""Attempts to get a token, counted so that no account is locked by wrong passwords. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from proxy.errors import AttemptsUsedUp

LIMIT = 3  # vendors lock accounts after five wrong passwords and more
SPAN = timedelta(hours=1)

End = Literal["open", "refused", "lost", "done"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run of a provider's flow that began at `at`, with the token of `generation` (0: none).

    It is `open` as long as nobody knows how it ended: it is under way, or its process was killed.
    `refused` has the `words` of the refusal, without secrets; of one that was `lost` no answer
    came, which blames nobody; one that is `done` brought a token, of which the store has not heard.
    """

    at: datetime
    generation: int
    end: End = "open"
    words: str = ""


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts with one credential since its last success, the latest last.

    One is noted before its first request is sent, so that a process that is killed over it has
    counted it.
    """

    made: tuple[Attempt, ...] = ()

    def recent(self, now: datetime) -> Attempts:
        """Return those of the last hour. One far in the future was noted by a wrong clock."""
        return Attempts(tuple(attempt for attempt in self.made if abs(now - attempt.at) < SPAN))

    @property
    def counted(self) -> tuple[Attempt, ...]:
        """Those that could lock an account."""
        return tuple(attempt for attempt in self.made if attempt.end in ("open", "refused"))

    @property
    def left(self) -> int:
        """How many more may be made."""
        return max(LIMIT - len(self.counted), 0)

    @property
    def refusal(self) -> str:
        """The words of the latest refusal."""
        return next((one.words for one in reversed(self.made) if one.words), "")

    @property
    def cut_off(self) -> Attempt | None:
        """The latest attempt, if what it asked for may have happened without our knowing."""
        return self.made[-1] if self.made and self.made[-1].end in ("open", "lost") else None

    def check(self, now: datetime) -> None:
        """Raise `AttemptsUsedUp` if no more may be made now."""
        if self.left:
            return
        again_at = self.counted[-LIMIT].at + SPAN
        raise AttemptsUsedUp(
            f"{self.refusal or 'the token endpoint never answered'}"
            f" ({LIMIT} attempts within an hour, the next after {again_at:%H:%M} UTC)",
            retry_after=(again_at - now).total_seconds(),
        )

    def begun(self, now: datetime, generation: int) -> Attempts:
        """Return the recent ones, but for those that were lost, and one that begins now."""
        recent = (one for one in self.recent(now).made if one.end != "lost")
        return Attempts((*recent, Attempt(now, generation)))

    def merged(self, others: Attempts) -> Attempts:
        """Return these and `others`; what these tell of the same ones is the later word."""
        known = {one.at for one in self.made}
        merged = [*self.made, *(one for one in others.made if one.at not in known)]
        return Attempts(tuple(sorted(merged, key=lambda one: one.at)))

    def done(self) -> Attempts:
        """Return these, none of which counts any more."""
        return Attempts(tuple(replace(one, end="done", words="") for one in self.made))

    def ended(self, end: End, words: str = "") -> Attempts:
        """Return these, and how the latest has ended."""
        return Attempts((*self.made[:-1], replace(self.made[-1], end=end, words=words)))
