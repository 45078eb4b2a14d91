"""What the server knows about an endpoint before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.sandbox.misskey.limits import Limit
from proxy.sandbox.misskey.state import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint; `run` returns JSON, or None for a 204."""

    run: Callable[[Call], object]
    credential: bool = False
    secure: bool = False  # for native tokens only
    moderator: bool = False
    permission: str | None = None
    limit: Limit | None = None
    required: tuple[str, ...] = ()  # parameters, all of them strings
    cache_seconds: int | None = None  # set: answers GET too, and anonymous answers are public


Endpoints = dict[str, Endpoint]
