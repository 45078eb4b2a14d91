"""What is told of a request that was not sent, as data. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

Outcome = Literal["sent", "answered", "refused"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check, in the order of the checks; `rule` is the place of what decides, if it has one."""

    check: str
    passed: bool
    why: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Injection:
    """One rule of `inject`, at its place in the configuration: what it sets, or why it does not.

    `removes_own` tells whether something of the client's own is taken away from there.
    """

    rule: str
    sets: str
    applies: bool
    why: str | None = None
    removes_own: bool = False


@dataclass(frozen=True, slots=True)
class Removed:
    """A field of the client's that does not go to the upstream."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The request that would go to the upstream. `content` is told in words.

    `fields` have no length or coding of content that nobody has seen.
    """

    method: str
    url: str
    fields: tuple[tuple[str, str], ...]
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer that sidekey gives itself; `rule` is the place of the one that says so."""

    status: int | None
    content: Any = None
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The problem that the client would get."""

    slug: str
    title: str
    status: int
    detail: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a request; `asked` is the URL that was named, `local` the one to call.

    `path` is the one at the upstream, base path included. `conditions` are what could not be
    checked, since it depends on the content or on other requests. `token` has the facts of
    `sidekey status`, and is absent where no token is needed. `rejection` says what follows an
    answer that means that the token is no longer good.
    """

    outcome: Outcome
    method: str
    asked: str
    local: str | None = None
    upstream: str | None = None
    found_by: str | None = None
    path: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    conditions: tuple[str, ...] = ()
    injections: tuple[Injection, ...] = ()
    removed: tuple[Removed, ...] = ()
    request: Sent | None = None
    answer: Answered | None = None
    token: Mapping[str, Any] | None = None
    rejection: str | None = None
    refusal: Refusal | None = None

    def members(self) -> dict[str, Any]:
        """Return what is known, ready for JSON."""
        found: dict[str, Any] = _plain(self)
        return found

    def masked(self, mask: Callable[[str], str]) -> Explanation:
        """Return the explanation with every text of it masked."""
        found: Explanation = _masked(self, mask)
        return found


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        members = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        return {name: member for name, member in members.items() if member is not None}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if is_dataclass(value) and not isinstance(value, type):
        members = {one.name: _masked(getattr(value, one.name), mask) for one in fields(value)}
        return replace(value, **members)
    if isinstance(value, tuple | list):
        return type(value)(_masked(item, mask) for item in value)
    if isinstance(value, Mapping):
        return {name: _masked(item, mask) for name, item in value.items()}
    return value
