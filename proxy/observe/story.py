"""Why a request went as it did, in sentences: what was refused, renewed or replayed, and why."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxy.errors import CredentialError, SidekeyError, StoreError, TokenEndpointError
from proxy.events import (
    Event,
    RequestAborted,
    RequestAnswered,
    RequestForwarded,
    RequestRefused,
    TokenExpired,
    TokenFailed,
    TokenForgotten,
    TokenLoaded,
    TokenRejected,
)
from proxy.observe.trail import Step

REMEMBERED = 200  # facts about tokens
AROUND = 1.0  # seconds before a request began in which its token may have come to its end
Told = TokenExpired | TokenFailed | TokenForgotten | TokenLoaded | TokenRejected
_ENDS = {
    TokenExpired: "the one before it had expired",
    TokenForgotten: "somebody had removed the one before it",
    TokenRejected: "the upstream had rejected the one before it",
}


@dataclass(frozen=True, slots=True)
class _Fact:
    time: float
    event: Told


class Story:
    """Remembers what happened to tokens of late, to tell why requests waited. An observer."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._facts: deque[_Fact] = deque(maxlen=REMEMBERED)

    def observe(self, event: Event) -> None:
        """Remember what happened to a token."""
        if isinstance(event, Told):
            self._facts.append(_Fact(self._now(), event))

    def of(self, step: Step) -> list[str]:
        """Return the sentences about a request."""
        fact = step.fact
        if isinstance(fact, RequestForwarded):
            return list(self._of_forwarded(step, fact))
        if isinstance(fact, RequestAnswered):
            return list(_of_answered(fact))
        return list(_of_refused(fact) if isinstance(fact, RequestRefused) else _of_aborted(fact))

    def _of_forwarded(self, step: Step, fact: RequestForwarded) -> Iterator[str]:
        if fact.renewed:
            why = f": {self._why_renewed(step, fact)}" if step.is_own else ""
            yield f"It waited {fact.token_seconds:.3f} s for a new token{why}."
        if fact.replayed:
            yield "The upstream rejected the first token, so the request was sent once more."
        if fact.rejected and fact.replayed:
            yield "The second answer was a rejection too, and stands: sidekey sends no third time."
        elif fact.rejected:
            yield (
                "The upstream rejected the token, and its answer stands: there was no other token"
                " to be had, or the content could not be sent a second time."
            )
        if not (fact.renewed or fact.replayed or fact.rejected):
            yield "It was sent with what was at hand, without waiting for a token."
        yield f"The upstream answered {fact.status} after {fact.upstream_seconds:.3f} s."

    def _why_renewed(self, step: Step, fact: RequestForwarded) -> str:
        began = step.time - fact.seconds - AROUND
        events = [
            known.event
            for known in self._facts
            if known.event.upstream == fact.upstream and began <= known.time <= step.time
        ]
        ends = [_ENDS[type(event)] for event in events if type(event) in _ENDS]
        if ends:
            return ends[-1]
        if any(isinstance(event, TokenLoaded) for event in events):
            return "there was none in memory, and the store had one"
        return "there was none yet, or the one at hand was about to expire"


def _of_answered(fact: RequestAnswered) -> Iterator[str]:
    yield f"sidekey answered it itself with {fact.status}, as {fact.rule} says."
    yield "The upstream has not seen it, and no token was needed."


def _of_refused(fact: RequestRefused) -> Iterator[str]:
    yield f"sidekey answered it itself, with the problem {fact.slug}: {fact.detail}."
    if _is_about(fact.slug, CredentialError, TokenEndpointError, StoreError):
        yield "Without a credential nothing is sent: the upstream has not seen it."
    if fact.fix:
        yield f"What to do: {fact.fix}."


def _of_aborted(fact: RequestAborted) -> Iterator[str]:
    yield f"It was cut off before its answer was complete: {fact.reason}."


def _is_about(slug: str, *kinds: type[SidekeyError]) -> bool:
    return any(slug in _slugs(kind) for kind in kinds)


def _slugs(kind: type[SidekeyError]) -> set[str]:
    return {kind.slug}.union(*map(_slugs, kind.__subclasses__()))
