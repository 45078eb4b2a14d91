"""How long the token at hand may be used, and when it is to be renewed."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

from proxy.clock import Clock
from proxy.credentials.entry import Entry
from proxy.credentials.schedule import (
    NEVER,
    SOFT_SHARE,
    SPREAD,
    Deadlines,
    deadlines,
    same_again,
)

LEARNED_FROM = 60.0  # seconds; who is rejected earlier has not died of old age
SLACK = timedelta(seconds=30)  # by which the clocks of several hosts may differ
HOPE = 1.05  # by which a learned life grows


class Lifetime:
    """The deadlines of one token after the other.

    It learns how long tokens live whose lifetime nobody tells: as long as the last one that was
    rejected, and a little longer each time that one has lived so long.
    """

    def __init__(self, clock: Clock) -> None:
        self.deadlines = NEVER
        self._clock = clock
        self._learned = math.inf
        self._born = 0.0  # when the token at hand was obtained, by the clock that nobody sets

    def begin(self, entry: Entry, previous: Entry | None, *, outlived: bool) -> None:
        """Take `entry` in the place of `previous`, which was not rejected if it was `outlived`."""
        if outlived:
            self._learned *= HOPE
        spread = self._clock.jitter(1 - SPREAD, 1 + SPREAD)
        self.deadlines = self._deadlines_of(entry, spread)
        self._born = self._clock.elapsed() - self._age(entry)
        if previous is not None and previous.token.value == entry.token.value:
            now = self._clock.elapsed()
            again = same_again(now, self.deadlines.end - now)
            self.deadlines = replace(self.deadlines, soft=again, earliest=again)

    def due(self) -> bool:
        """Tell whether the token is to be renewed now."""
        return self.deadlines.due(self._clock.elapsed())

    def over(self) -> bool:
        """Tell whether the token has expired."""
        return self._clock.elapsed() >= self.deadlines.end

    def learn(self, rejected: Entry) -> None:
        """Note how long the token at hand has lived, which was rejected."""
        age = self._clock.elapsed() - self._born
        if rejected.token.assumed and age >= LEARNED_FROM:
            self._learned = age

    def heed_wall_clock(self, entry: Entry) -> None:
        """Let the token expire by whichever clock is ahead: a virtual machine may have slept."""
        if entry.token.expires_at is None:
            return
        left = (entry.token.expires_at - self._clock.wall()).total_seconds()
        ahead = self.deadlines.end - self._clock.elapsed() - left
        if ahead > 1.0:
            self.deadlines = self.deadlines.sooner_by(ahead)

    def renewal_of(self, entry: Entry, *, at_hand: bool, rests_until: float) -> datetime | None:
        """Return when `entry` is renewed, about when unless it is the one at hand.

        `None` if it does not expire. No renewal begins before `rests_until`.
        """
        moments = self.deadlines if at_hand else self._deadlines_of(entry, 1.0)
        moment = max(moments.soft, moments.earliest, rests_until)
        if math.isinf(moment):
            return None
        return self._clock.wall() + timedelta(seconds=moment - self._clock.elapsed())

    def _age(self, entry: Entry) -> float:
        """Return the age of `entry` in seconds; none by a clock that was set back since."""
        if entry.obtained_at is None:
            return 0.0
        return max((self._clock.wall() - entry.obtained_at).total_seconds(), 0.0)

    def _deadlines_of(self, entry: Entry, spread: float) -> Deadlines:
        wall = self._clock.wall()
        obtained_at = entry.obtained_at or wall
        life = left = renew_in = math.inf
        if entry.token.expires_at is not None:
            life = (entry.token.expires_at - obtained_at).total_seconds()
            # Never more than its whole life, though somebody has set the clock back since.
            left = min((entry.token.expires_at - wall).total_seconds(), life)
        if obtained_at > wall + SLACK and left < math.inf:
            renew_in = 0.0  # somebody has set the clock back: nobody knows how old it is
        elif entry.token.assumed:
            renew_in = self._learned * (1 - SOFT_SHARE) - self._age(entry)
        return deadlines(
            self._clock.elapsed(),
            age=self._age(entry),
            left=left,
            life=life,
            renew_in=renew_in,
            spread=spread,
        )
