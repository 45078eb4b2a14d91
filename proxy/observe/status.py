"""What can be said of each upstream's token from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from proxy.clock import utc_now
from proxy.credentials.attempts import Attempts
from proxy.credentials.entry import Entry
from proxy.credentials.source import Source
from proxy.errors import (
    AttemptsUsedUp,
    CredentialError,
    GrantRejected,
    LoginRequired,
    SidekeyError,
    StoreError,
)

State = Literal[
    "ready", "renewing", "expired", "idle", "acquiring", "login-required", "blocked", "failed"
]
SERVING: tuple[State, ...] = ("ready", "renewing", "expired", "idle", "acquiring")


@dataclass(frozen=True, slots=True)
class Status:
    """The state of one upstream.

    `ready` and `renewing` have a token that is good, or a key, which nobody has to fetch; `idle`
    has no token yet and fetches one at the first request, `expired` renews it then, `acquiring` is
    at it. `blocked` was refused by the token endpoint, `failed` cannot reach it, `login-required`
    waits for a human.
    `stored` is false while the token lives in memory only. `attempts_left` may be refused before
    sidekey pauses for the rest of the hour. `problem` is the slug of the `error`. `refusal` is what
    a request would get at once, since nobody is asked again yet.
    """

    upstream: str
    state: State
    generation: int | None = None
    expires_at: datetime | None = None
    next_renewal: datetime | None = None
    user: str | None = None
    stored: bool | None = None
    attempts_left: int | None = None
    problem: str | None = None
    error: str | None = None
    fix: str | None = None
    refusal: SidekeyError | None = None

    def members(self) -> dict[str, Any]:
        """Return the facts that are known, ready for JSON."""
        facts = {name: getattr(self, name) for name in self.__slots__ if name != "refusal"}
        return {
            name: value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
            for name, value in facts.items()
            if value is not None
        }


async def statuses_of(sources: Mapping[str, Source]) -> list[Status]:
    """Return the state of each of `sources`."""
    return await asyncio.gather(*map(status_of, tuple(sources.values())))


async def status_of(source: Source, *, rests: bool = False) -> Status:
    """Return the state of `source`, looking into the store if it has no token in memory.

    `rests` tells of another process, the one that serves: it asks nobody for now.
    """
    failure = source.failure
    try:
        entry = await source.peek()
    except StoreError as error:
        entry, failure = None, failure or error
    attempts = Attempts()
    is_usable = entry is not None and source.is_usable(entry)
    if source.provider.buys and (failure is not None or not is_usable):
        attempts = await source.attempts()
    if failure is None and not is_usable:
        failure = _remembered(source, entry, attempts)
    if failure is not None:
        failure.upstream = source.name
    said = source.redaction.masked
    next_renewal = source.next_renewal(entry)
    rests = rests or next_renewal is not None
    return Status(
        source.name,
        _state(source, entry, failure),
        generation=None if entry is None or not source.provider.kept else entry.generation,
        expires_at=None if entry is None else entry.token.expires_at,
        next_renewal=next_renewal,
        user=None if entry is None else entry.token.outputs.get("user"),
        stored=None if source.saved else False,
        attempts_left=attempts.left if source.provider.buys else None,
        problem=None if failure is None else failure.slug,
        error=None if failure is None else said(failure.detail),
        fix=None if failure is None or failure.fix is None else said(failure.fix),
        refusal=None if is_usable or source.renewing else _refusal(failure, attempts, rests=rests),
    )


def _state(source: Source, entry: Entry | None, failure: SidekeyError | None) -> State:
    if entry is not None and source.is_usable(entry):
        return "renewing" if source.renewing else "ready"
    if isinstance(failure, LoginRequired):
        return "login-required"
    if failure is not None:
        return "blocked" if isinstance(failure, CredentialError) else "failed"
    if not source.provider.kept:
        return "ready"
    if source.renewing:
        return "acquiring"
    return "idle" if entry is None else "expired"


def _remembered(source: Source, entry: Entry | None, attempts: Attempts) -> SidekeyError | None:
    """Return why there is no token, as far as the store tells it."""
    if source.provider.interactive:
        why = "nobody has signed in yet" if entry is None else "the token was rejected"
        return LoginRequired(why, fix=f"sidekey login {source.name}")
    return GrantRejected(attempts.refusal) if attempts.refusal else None


def _refusal(
    failure: SidekeyError | None, attempts: Attempts, *, rests: bool
) -> SidekeyError | None:
    """Return what a request without a token gets, if nobody is asked for one."""
    if rests or isinstance(failure, LoginRequired):
        return failure
    try:
        attempts.check(utc_now())
    except AttemptsUsedUp as error:
        return error
    return None
