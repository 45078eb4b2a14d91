"""The last requests, in the order in which they became known, those of other workers included."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec

from proxy.events import (
    Event,
    RequestAborted,
    RequestAnswered,
    RequestForwarded,
    RequestRefused,
)
from proxy.gateway.recorder import ENTRIES
from proxy.observe.request_log import PATH_LIMIT
from proxy.observe.sharing import Sharing

SECTION = "trail"  # of what processes share
Ended = RequestForwarded | RequestAnswered | RequestRefused | RequestAborted
OUTCOMES = {
    RequestForwarded: "forwarded",
    RequestAnswered: "answered",
    RequestRefused: "refused",
    RequestAborted: "aborted",
}
KINDS = {name: kind for kind, name in OUTCOMES.items()}


@dataclass(slots=True)  # a frozen one takes half a microsecond more of each request
class Step:
    """A request that has ended: the fact, and when that was, in epoch seconds.

    `is_own` is false for a request that another worker has served.
    """

    time: float
    fact: Ended
    is_own: bool = True

    @property
    def seq(self) -> int:
        """A number by which steps are in order, whoever has served them: the microsecond."""
        return int(self.time * 1e6)

    def members(self) -> dict[str, Any]:
        """Return what is known of the request, ready for JSON."""
        fact = self.fact
        return {
            "seq": self.seq,
            "id": fact.request_id,
            "time": round(self.time, 3),
            "method": fact.method,
            "upstream": fact.upstream or None,
            "path": fact.path,
            "outcome": OUTCOMES[type(fact)],
            "status": getattr(fact, "status", None),
            "seconds": fact.seconds,
            "token_seconds": getattr(fact, "token_seconds", None),
            "upstream_seconds": getattr(fact, "upstream_seconds", None),
            "renewed": getattr(fact, "renewed", False),
            "replayed": getattr(fact, "replayed", False),
            "rejected": getattr(fact, "rejected", False),
            "problem": getattr(fact, "slug", None),
            "detail": _detail(fact),
            "fix": getattr(fact, "fix", None),
        }


def _detail(fact: Ended) -> str | None:
    if isinstance(fact, RequestRefused):
        return fact.detail
    return fact.reason if isinstance(fact, RequestAborted) else None


class _Told(msgspec.Struct):
    """What one process tells the others: its last requests, and how many it has had."""

    process: str
    count: int
    steps: list[tuple[str, float, msgspec.Raw]]


class Trail:
    """Remembers the last requests. An observer.

    With `sharing`, it takes over those of the other workers whenever somebody looks.
    """

    def __init__(
        self, sharing: Sharing | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self.count = 0  # of requests that have become known
        self._now = now
        self._steps: deque[Step] = deque(maxlen=ENTRIES)
        self._own_count = 0
        self._process = secrets.token_hex(4)
        self._seen: dict[str, int] = {}  # by process: how many of its requests are known
        self._sharing = sharing
        if sharing is not None:
            sharing.offer(SECTION, self._told)

    def observe(self, event: Event) -> None:
        """Remember a request."""
        if type(event) in OUTCOMES:
            fact = cast("Ended", event)
            if len(fact.path) > PATH_LIMIT:
                fact = replace(fact, path=fact.path[:PATH_LIMIT] + "…")
            self.count += 1
            self._own_count += 1
            self._steps.append(Step(self._now(), fact))

    def look(self) -> None:
        """Take over what other workers have told meanwhile."""
        if self._sharing is None:
            return
        found = [msgspec.msgpack.decode(told, type=_Told) for told in self._sharing.all(SECTION)]
        taken = [
            step for told in found if told.process != self._process for step in self._new(told)
        ]
        taken.sort(key=lambda step: step.time)
        self.count += len(taken)
        self._steps.extend(taken)

    def steps(self) -> list[Step]:
        """Return the last requests, the newest first."""
        return sorted(self._steps, key=lambda step: step.time, reverse=True)

    def since(self, count: int) -> list[Step]:
        """Return those requests still remembered that became known after the first `count`."""
        new = min(self.count - count, len(self._steps))
        return list(self._steps)[-new:] if new > 0 else []

    def count_until(self, seq: int) -> int:
        """Return how many requests became known up to the one of that number."""
        return self.count - sum(step.seq > seq for step in self._steps)

    def step(self, request_id: str) -> Step | None:
        """Return a request by its id, if it is still remembered."""
        found = (step for step in self._steps if step.fact.request_id == request_id)
        return next(found, None)

    def _new(self, told: _Told) -> list[Step]:
        """Return what is new of another worker's requests."""
        new = min(told.count - self._seen.get(told.process, 0), len(told.steps))
        self._seen[told.process] = told.count
        return [
            Step(moment, msgspec.msgpack.decode(fact, type=KINDS[kind]), is_own=False)
            for kind, moment, fact in (told.steps[-new:] if new > 0 else [])
        ]

    def _told(self) -> bytes:
        steps = [
            (OUTCOMES[type(step.fact)], step.time, msgspec.Raw(msgspec.msgpack.encode(step.fact)))
            for step in self._steps
            if step.is_own
        ]
        return msgspec.msgpack.encode(_Told(self._process, self._own_count, steps))
