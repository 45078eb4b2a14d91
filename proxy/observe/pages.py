"""sidekey's own pages under `/_sidekey/`: which there are, and who may see and do what there."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from proxy.credentials.secret import Secret
from proxy.errors import SidekeyError
from proxy.gateway.fields import TOKEN_FIELD
from proxy.gateway.route import OWN_PREFIX
from proxy.nearest import nearest
from proxy.refusals import CrossSiteRefused, MethodNotAllowed, UnknownUpstream

READING = frozenset({"GET", "HEAD"})
_ARGUMENT = re.compile(r"\{(\w+)(\*?)\}")


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for one of our own pages.

    `known` tells whether the caller has shown who it is, `origin` where it called us (`None` on a
    unix socket), `arguments` what stands in the path where the route has a name in braces.
    """

    request: web.BaseRequest
    known: bool
    origin: str | None
    token: Secret
    arguments: Mapping[str, str] = field(default_factory=dict)

    def check_token(self, shown: str | None) -> None:
        """Raise `CrossSiteRefused` unless `shown` is what only a page of ours can know."""
        if shown is None or Secret(shown) != self.token:
            raise CrossSiteRefused(
                "whatever changes something here needs a token, which no other web page can read",
                fix=f"send {TOKEN_FIELD} with the value of `token` in /{OWN_PREFIX}/api/overview",
            )


def told(token: Secret) -> str:
    """Return the token for a page of ours: no other origin can read what such a page gets."""
    return token.reveal()


def new_page_token() -> Secret:
    """Return a token by which pages of ours prove that they are."""
    return Secret(secrets.token_urlsafe(24))


Page = Callable[[Visit], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """A page, and the paths below the prefix that it answers, such as `/api/requests/{id}`.

    `{path*}` stands for any number of segments. An open page tells nothing that only known callers
    may know, or sees to that itself. One that `takes_form` finds the token in its content, where a
    form puts it, and checks it itself.
    """

    method: str
    pattern: str
    page: Page
    is_open: bool = False
    takes_form: bool = False

    def arguments(self, path: str) -> Mapping[str, str] | None:
        """Return what `path` has in the places of the names, `None` if it is no path of this."""
        found = re.fullmatch(_expression(self.pattern), path)
        return None if found is None else found.groupdict()


def _expression(pattern: str) -> str:
    return _ARGUMENT.sub(lambda found: f"(?P<{found[1]}>{'.*' if found[2] else '[^/]+'})", pattern)


class OwnPages:
    """Answers requests for our own pages; `refusal` is for callers that nobody knows."""

    def __init__(
        self, routes: Sequence[Route], token: Secret, refusal: Callable[[], SidekeyError]
    ) -> None:
        self._routes = routes
        self._token = token
        self._refusal = refusal

    async def answer(
        self, request: web.BaseRequest, path: str, *, known: bool, is_ours: bool, origin: str | None
    ) -> web.StreamResponse:
        """Answer a request for the page at `path`, below the prefix.

        `is_ours` is false for a web page of another origin, which may at most read.
        Raises `ClientError` if there is no such page, or the caller may not do this.
        """
        route, arguments = self._found(request.method, path)
        if not (known or route.is_open):
            raise self._refusal()
        visit = Visit(request, known, origin, self._token, arguments)
        if request.method not in READING:
            if not is_ours:
                raise CrossSiteRefused("a web page of another origin may change nothing here")
            if not route.takes_form:
                visit.check_token(request.headers.get(TOKEN_FIELD))
        return await route.page(visit)

    def _found(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        matching = [(route, route.arguments(path)) for route in self._routes]
        found = [(route, given) for route, given in matching if given is not None]
        if not found:
            pages = [route.pattern for route in self._routes if "{" not in route.pattern]
            near = nearest(path, pages)
            hint = "" if near is None else f" (did you mean '/{OWN_PREFIX}{near}'?)"
            raise UnknownUpstream(
                f"sidekey has no page /{OWN_PREFIX}{path}{hint}", fix=f"see /{OWN_PREFIX}/"
            )
        wanted = "GET" if method == "HEAD" else method
        for route, arguments in found:
            if route.method == wanted:
                return route, arguments
        allowed = {route.method for route, _ in found}
        allowed |= READING if "GET" in allowed else set()
        raise MethodNotAllowed("this page has other methods", allowed=frozenset(allowed))
