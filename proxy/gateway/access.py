"""Which requests an upstream's rules let through, and which are answered without it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from proxy.config.models import AccessRule, LocalAnswer, Upstream
from proxy.gateway.target import INSPECTIONS
from proxy.notation import origin_of
from proxy.pathglob import matches, matches_decoded
from proxy.refusals import METHODS, MethodNotAllowed, NotAllowed

_QUERY = re.compile("[?#]")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


class Access:
    """The allow and deny rules of one upstream, and the endpoints that hand out tokens.

    `token_endpoints` are those of every upstream: two upstreams may share an origin.
    `path` is always the path at the upstream, base path included.
    """

    def __init__(self, settings: Upstream, token_endpoints: Iterable[str]) -> None:
        origin = origin_of(settings.base_url)
        self._local_answers = settings.local_answers
        self._allow = tuple(_Rule.of(rule) for rule in settings.allow)
        self._deny = tuple(_Rule.of(rule, str.lower) for rule in settings.deny)
        self._token_endpoints = tuple(
            _squeezed(urlsplit(url).path).lower()
            for url in token_endpoints
            if origin_of(url) == origin
        )
        self._methods = METHODS.union(*(rule.methods for rule in settings.allow))

    def local_answer(self, method: str, path: str) -> LocalAnswer | None:
        """Return what is answered here: placeholders for clients that fetch tokens themselves."""
        for answer in self._local_answers:
            if method in answer.methods and matches(path, answer.paths):
                return answer
        return None

    def place(self, answer: LocalAnswer) -> str:
        """Return where a local answer stands among the upstream's keys: `local_answers[0]`."""
        return f"local_answers[{self._local_answers.index(answer)}]"

    def check(self, method: str, path: str) -> str | None:
        """Raise `NotAllowed` for a token endpoint, a denied request, or one that no rule allows.

        Return the place of the rule that allows it, such as `allow[0]`, if there are such rules.

        Nobody knows how the upstream reads the path: what is denied is denied in any reading, what
        is allowed must be allowed in every one. Raises `MethodNotAllowed` for an unusual method,
        such as PURGE, that no allow rule names.
        """
        if method not in self._methods:
            raise MethodNotAllowed(f"{method} is refused", allowed=self._methods)
        if not (self._token_endpoints or self._deny or self._allow):
            return None
        readings = _Readings.of(path)
        in_lower_case = readings.in_lower_case()
        read = (in_lower_case.squeezed, in_lower_case.cut)
        if any(matches_decoded(path, self._token_endpoints) for path in read):
            raise NotAllowed(
                "token endpoints are never reachable through a route",
                fix="fetch no token: sidekey has one, and adds it to every request",
            )
        for index, rule in enumerate(self._deny):
            if rule.denies(method, in_lower_case):
                raise NotAllowed(
                    "a deny rule of this upstream stands against the request",
                    fix=f"see deny[{index}] of upstreams.{{upstream}}",
                    rule=f"deny[{index}]",
                )
        for index, rule in enumerate(self._allow):
            if rule.allows(method, readings):
                return f"allow[{index}]"
        if self._allow:
            raise NotAllowed(
                "no allow rule of this upstream covers the request",
                fix="see allow of upstreams.{upstream}",
                rule="allow",
            )
        return None


@dataclass(frozen=True, slots=True)
class _Readings:
    """A path as servers may read it: decoded, decoded but for its slashes, squeezed, and cut.

    Cut is how a server reads it that gets a squeezed path unencoded from one before it (nginx with
    a variable in `proxy_pass`): up to `?` or `#`, and without the ends that Windows does not see.
    """

    decoded: str
    with_encoded_slashes: str
    squeezed: str
    cut: str

    @classmethod
    def of(cls, path: str) -> Self:
        kept = _ENCODED_SLASH.sub("%252F", path)
        squeezed = _squeezed(path)
        segments = _QUERY.split(squeezed)[0].split("/")
        cut = _squeezed("/".join(segment.rstrip(". ") for segment in segments))
        return cls(unquote(path), unquote(kept), squeezed, cut)

    def in_lower_case(self) -> Self:
        """Return the readings of a server that does not regard case (IIS)."""
        return type(self)(
            self.decoded.lower(),
            self.with_encoded_slashes.lower(),
            self.squeezed.lower(),
            self.cut.lower(),
        )


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule of `allow` or `deny`; `squeezed` are its globs for paths that are."""

    methods: tuple[str, ...]
    globs: tuple[str, ...]
    squeezed: tuple[str, ...]

    @classmethod
    def of(cls, rule: AccessRule, written: Callable[[str], str] = str) -> Self:
        squeezed = (written(_squeezed(glob)) for glob in rule.paths)
        return cls(rule.methods, tuple(map(written, rule.paths)), tuple(squeezed))

    def allows(self, method: str, path: _Readings) -> bool:
        return self._is_for(method) and all(self._matched(path))

    def denies(self, method: str, path: _Readings) -> bool:
        return self._is_for(method) and any(self._matched(path))

    def _is_for(self, method: str) -> bool:
        return not self.methods or method in self.methods

    def _matched(self, path: _Readings) -> tuple[bool, ...]:
        if not self.globs:
            return (True,)
        return (
            matches_decoded(path.decoded, self.globs),
            matches_decoded(path.with_encoded_slashes, self.globs),
            matches_decoded(path.squeezed, self.squeezed),
            matches_decoded(path.cut, self.squeezed),
        )


def _squeezed(path: str) -> str:
    """Return the path, or the glob, as a lenient server may read it.

    Decoded more than once, without parameters (Tomcat), empty segments (nginx) and last slash.
    """
    for _ in range(INSPECTIONS):
        path = unquote(path)
    segments = (segment.partition(";")[0] for segment in path.split("/"))
    beginning = "" if path.startswith("**") else "/"
    return beginning + "/".join(segment for segment in segments if segment)
