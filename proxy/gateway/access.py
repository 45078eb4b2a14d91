"""Which requests an upstream's rules let through, and which are answered without it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from urllib.parse import unquote, urlsplit

from proxy.config.models import LocalAnswer, Upstream
from proxy.errors import METHODS, MethodNotAllowed, NotAllowed
from proxy.gateway.target import INSPECTIONS
from proxy.notation import origin_of
from proxy.pathglob import matches


class Access:
    """The allow and deny rules of one upstream, and the endpoints that hand out tokens.

    `token_endpoints` are those of every upstream: two upstreams may share an origin.
    `path` is always the path at the upstream, base path included.
    """

    def __init__(self, settings: Upstream, token_endpoints: Iterable[str]) -> None:
        self._settings = settings
        origin = origin_of(settings.base_url)
        self._token_endpoints = tuple(
            _squeezed(urlsplit(url).path).lower()
            for url in token_endpoints
            if origin_of(url) == origin
        )
        self._methods = METHODS.union(*(rule.methods for rule in settings.allow))
        self._deny = tuple(
            (rule.methods, tuple(glob.lower() for glob in rule.paths)) for rule in settings.deny
        )

    def local_answer(self, method: str, path: str) -> LocalAnswer | None:
        """Return what is answered here: placeholders for clients that fetch tokens themselves."""
        for answer in self._settings.local_answers:
            if method in answer.methods and matches(path, answer.paths):
                return answer
        return None

    def check(self, method: str, path: str) -> None:
        """Raise `NotAllowed` for a token endpoint, a denied request, or one that no rule allows.

        Raises `MethodNotAllowed` for an unusual method, such as PURGE, that no allow rule names.
        """
        if method not in self._methods:
            raise MethodNotAllowed(f"{method} is refused", allowed=self._methods)
        readings = (path.lower(), _squeezed(path).lower())
        if matches(readings[1], self._token_endpoints):
            raise NotAllowed(
                "token endpoints are never reachable through a route",
                fix="fetch no token: sidekey has one, and adds it to every request",
            )
        for methods, paths in self._deny:
            if any(_applies(methods, paths, method, reading) for reading in readings):
                raise NotAllowed(
                    "a deny rule of this upstream stands against the request",
                    fix="see deny of upstreams.{upstream}",
                )
        allow = self._settings.allow
        if allow and not any(_applies(rule.methods, rule.paths, method, path) for rule in allow):
            raise NotAllowed(
                "no allow rule of this upstream covers the request",
                fix="see allow of upstreams.{upstream}",
            )


def _applies(methods: Sequence[str], paths: Sequence[str], method: str, path: str) -> bool:
    if methods and method not in methods:
        return False
    return not paths or matches(path, paths)


def _squeezed(path: str) -> str:
    """Return the path as a lenient server may read it.

    Decoded more than once, without parameters (Tomcat), empty segments (nginx) and last slash.
    Deny rules are compared with this reading too, and without regard to case (IIS).
    """
    for _ in range(INSPECTIONS):
        path = unquote(path)
    segments = (segment.partition(";")[0] for segment in path.split("/"))
    return "/" + "/".join(segment for segment in segments if segment)


def content_of(answer: LocalAnswer) -> bytes:
    """Return the JSON content of a local answer."""
    return json.dumps(answer.json_content, ensure_ascii=False).encode()
