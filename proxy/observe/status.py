"""What can be said of each upstream's token from outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from proxy.credentials.providers import InteractiveProvider
from proxy.credentials.source import Source, is_rejected, utc_now
from proxy.errors import LoginRequired, SidekeyError, StoreError

State = Literal["ready", "idle", "expired", "login-required", "failed"]
SERVING: tuple[State, ...] = ("ready", "idle", "expired")


@dataclass(frozen=True, slots=True)
class Status:
    """The state of one upstream.

    `idle` has no token yet and fetches one at the first request, `expired` renews it then.
    """

    upstream: str
    state: State
    expires_at: datetime | None = None
    next_renewal: datetime | None = None
    user: str | None = None
    error: str | None = None
    fix: str | None = None

    def members(self) -> dict[str, Any]:
        """Return the facts that are known, ready for JSON."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
            for name, value in facts.items()
            if value is not None
        }


async def status_of(source: Source) -> Status:
    """Return the state of `source`, looking into the store if it has no token in memory."""
    try:
        token = source.current or await source.stored()
    except StoreError as error:
        error.upstream = source.name
        return _failed(source, error)
    failure = source.failure
    if failure is not None and (source.current is None or _over(source.current.expires_at)):
        return _failed(source, failure)
    if token is not None and is_rejected(token):
        return _failed(source, _login_required(source, "the token was rejected"))
    if token is None:
        if not isinstance(source.provider, InteractiveProvider):
            return Status(source.name, "idle")
        return _failed(source, _login_required(source, "nobody has signed in yet"))
    return Status(
        source.name,
        "expired" if _over(token.expires_at) else "ready",
        expires_at=token.expires_at,
        next_renewal=source.renewal_of(token),
        user=token.outputs.get("user"),
        error=source.redaction.masked(failure.detail) if failure is not None else None,
    )


def _login_required(source: Source, why: str) -> LoginRequired:
    return LoginRequired(why, fix=f"sidekey login {source.name}")


def _failed(source: Source, error: SidekeyError) -> Status:
    state: State = "login-required" if isinstance(error, LoginRequired) else "failed"
    masked = source.redaction.masked
    fix = masked(error.fix) if error.fix else None
    return Status(source.name, state, error=masked(error.detail), fix=fix)


def _over(expires_at: datetime | None) -> bool:
    return expires_at is not None and expires_at <= utc_now()


def as_json(statuses: list[Status]) -> str:
    """Return the states as a JSON document with the member `upstreams`."""
    members = {"upstreams": [status.members() for status in statuses]}
    return json.dumps(members, ensure_ascii=False, indent=2) + "\n"
