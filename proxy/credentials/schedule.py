"""When a token is renewed: in the background while it is good, and not too often. Pure.

All spans are in seconds; all moments are of one clock that nobody sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SOFT, SOFT_SHARE = 300.0, 0.2  # renewed in the background in the last part of its life
HARD, HARD_SHARE = 30.0, 0.05  # waited for in the very last part: it may expire on its way
SPREAD = 0.1  # by which the soft part varies, so that many do not renew at the same moment
INTERVAL = 10.0  # between two renewals of a token that lives


@dataclass(frozen=True, slots=True)
class Deadlines:
    """From `soft` on a token is renewed in the background, from `hard` on requests wait for it.

    At `end` it has expired. No renewal begins before `earliest`, unless the token has expired.
    """

    soft: float
    hard: float
    end: float
    earliest: float

    def sooner_by(self, seconds: float) -> Deadlines:
        """Return the same, so much earlier."""
        return Deadlines(
            self.soft - seconds, self.hard - seconds, self.end - seconds, self.earliest - seconds
        )

    def due(self, now: float) -> bool:
        """Tell whether the token is to be renewed now."""
        return now >= self.end or (now >= self.soft and now >= self.earliest)


NEVER = Deadlines(math.inf, math.inf, math.inf, math.inf)


def deadlines(
    now: float, *, age: float, left: float, life: float, spread: float, renew_in: float = math.inf
) -> Deadlines:
    """Return those of a token of that `age` with `left` of its `life` left; both may be infinite.

    `renew_in` is when experience asks for the next one. `spread` lies between 1 - SPREAD and
    1 + SPREAD.
    """
    end = now + left
    soft = min(SOFT, life * SOFT_SHARE) * spread
    hard = min(HARD, life * HARD_SHARE)
    return Deadlines(
        soft=min(end - soft, now + renew_in),
        hard=end - hard,
        end=end,
        earliest=now - age + min(INTERVAL, life / 2),
    )


def same_again(now: float, left: float) -> float:
    """Return when to ask again after an endpoint has answered with the token that we had.

    Google's metadata server does until shortly before it expires (google-auth-library-python 581).
    """
    return now + (left if left <= 2 * INTERVAL else max(INTERVAL, left / 2))
