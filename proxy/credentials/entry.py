"""What a store keeps of one upstream. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from proxy.credentials.token import Token

FORCED_INTERVAL = timedelta(seconds=30)  # between renewals that rejections force


@dataclass(frozen=True, slots=True)
class Entry:
    """A token, and how it came. Times are aware (UTC) wall time.

    `series` names the entries that follow each other, since the upstream had none; `generation`
    grows with every change within it, whoever makes it. `forced_at` is when a rejection last forced
    a renewal. `rejected` marks a token that the upstream refused and only a human can replace.
    """

    token: Token
    generation: int = 1
    series: str = ""
    obtained_at: datetime | None = None
    forced_at: datetime | None = None
    rejected: bool = False

    @property
    def of_use_until(self) -> datetime | None:
        """When neither the token nor its refresh token is of use any more, if that is known."""
        ends = [self.token.expires_at]
        if self.token.refresh_token is not None:
            ends.append(self.token.refresh_expires_at)
        known = [end for end in ends if end is not None]
        return max(known) if len(known) == len(ends) else None

    def usable(self, now: datetime) -> bool:
        """Tell whether the token may still be sent: not rejected, not expired."""
        expires_at = self.token.expires_at
        return not self.rejected and (expires_at is None or now < expires_at)

    def was_just_forced(self, now: datetime) -> bool:
        """Tell whether a rejection has forced a renewal within the last 30 seconds."""
        if self.forced_at is None:
            return False
        return timedelta(0) <= now - self.forced_at < FORCED_INTERVAL

    def follows(self, other: Entry) -> bool:
        """Tell whether this one comes after `other`, of the same series."""
        return self.series == other.series and self.generation > other.generation
