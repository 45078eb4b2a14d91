"""Where browsers sign in: the pages below `/login/`, and the same for the dashboard in JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import parse_qsl

from aiohttp import web

from proxy.credentials.providers import InteractiveProvider
from proxy.credentials.source import Source
from proxy.errors import SidekeyError
from proxy.gateway.content import ClientContent
from proxy.gateway.problems import PROTECTION
from proxy.nearest import nearest
from proxy.notation import origin_of
from proxy.observe import login_pages
from proxy.observe.answers import as_json
from proxy.observe.last_requests import LastRequests
from proxy.observe.markup import prefers_html
from proxy.observe.named import source_named
from proxy.observe.pages import Route, Visit, told
from proxy.observe.sign_ins import SignIn, SignIns

PATIENCE = 10.0  # seconds that a form may take to arrive, and that a browser waits for the outcome
FORM_LIMIT = 4096  # bytes


class LoginRoutes:
    """Leads browsers through sign-ins; `refusal` is for callers that nobody knows.

    `sources` may change later. Only known callers see what is asked for and begin or end anything.
    The callback is open to every browser: it does nothing but for the one that comes from the very
    sign-in under way, which only its unguessable state can tell.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        sign_ins: SignIns,
        last_requests: LastRequests,
        refusal: Callable[[], SidekeyError],
    ) -> None:
        self._sources = sources
        self._sign_ins = sign_ins
        self._last_requests = last_requests
        self._refusal = refusal

    def routes(self) -> list[Route]:
        """Return the pages."""
        page, api = "/login/{name}", "/api/upstreams/{name}/login"
        return [
            Route("GET", page, self.show, is_open=True),
            Route("POST", page, self.begin, takes_form=True),
            Route("POST", f"{page}/cancel", self.cancel, takes_form=True),
            Route("GET", f"{page}/callback", self.come_back, is_open=True),
            Route("GET", api, self.state),
            Route("POST", api, self.begin_for_script),
        ]

    async def show(self, visit: Visit) -> web.Response:
        """Show what there is to do: sign in, wait, or nothing."""
        name = visit.arguments["name"]
        if not visit.known:
            refusal = self._refusal()
            if not prefers_html(visit.request.headers.get("Accept", "")):
                raise refusal
            return login_pages.stranger_page(refusal)
        source = self._sources.get(name)
        if source is None:
            return login_pages.unknown_page(name, nearest(name, self._sources))
        if not isinstance(source.provider, InteractiveProvider):
            return login_pages.needless_page(name, await self._last_requests.status_of(source))
        latest = self._sign_ins.latest(name)
        if latest is not None and latest.state == "waiting" and latest.login is not None:
            return login_pages.waiting_page(name, latest, told(visit.token))
        if self._sign_ins.is_elsewhere(name):
            return login_pages.elsewhere_page(name)
        return login_pages.start_page(
            name,
            source.provider.consent(),
            await self._last_requests.status_of(source),
            latest if latest is not None and latest.ended.is_set() else None,
            told(visit.token),
            is_lasting=self._sign_ins.is_lasting,
        )

    async def begin(self, visit: Visit) -> web.Response:
        """Begin a sign-in, and send the browser to the server that the page named; else back."""
        name = visit.arguments["name"]
        await _check_form(visit)
        source_named(self._sources, name)
        try:
            url = _url_as_named(await self._begun(visit, name))
        except SidekeyError:
            url = None
        return _to(url or login_pages.path_of(name))  # which tells why, or shows where it leads

    async def cancel(self, visit: Visit) -> web.Response:
        """End the sign-in under way."""
        name = visit.arguments["name"]
        await _check_form(visit)
        latest = self._sign_ins.latest(name)
        if latest is not None:
            latest.waiting.give_up("it was cancelled")
            await _outcome(latest)
        return _to(login_pages.path_of(name))

    async def come_back(self, visit: Visit) -> web.Response:
        """Have the server asked, and show how the sign-in ends, to the browser that was in it."""
        name = visit.arguments["name"]
        latest = self._sign_ins.latest(name)
        if latest is None or not latest.is_named_by(visit.request.query):
            if self._sign_ins.is_named_elsewhere(visit.request.query):
                return login_pages.returned_elsewhere_page(name)
            return login_pages.foreign_page(name)
        latest.waiting.come_back()
        if await _outcome(latest):
            return login_pages.ended_page(latest)
        return login_pages.returned_page(name)

    async def state(self, visit: Visit) -> web.Response:
        """Tell how the sign-in is."""
        name = visit.arguments["name"]
        source_named(self._sources, name)
        latest = self._sign_ins.latest(name)
        if self._sign_ins.is_elsewhere(name):
            return as_json({"state": "waiting"})
        return as_json({"state": "none"} if latest is None else latest.members())

    async def begin_for_script(self, visit: Visit) -> web.Response:
        """Begin a sign-in, and tell which page the browser has to open, and until when.

        Without a page, if it is not at the server that our own page names, which then shows it.
        """
        sign_in = await self._begun(visit, visit.arguments["name"])
        members = {"url": _url_as_named(sign_in), "expires": sign_in.expires}
        return as_json({name: value for name, value in members.items() if value is not None})

    async def _begun(self, visit: Visit, name: str) -> SignIn:
        source_named(self._sources, name)
        origin = visit.origin or f"http://{visit.request.headers['Host'].strip()}"
        return await self._sign_ins.begin(name, f"{origin}{login_pages.path_of(name)}/callback")


def _url_as_named(sign_in: SignIn) -> str | None:
    """Return the page of the server, if it is at the one that our own page names."""
    provider, login = sign_in.source.provider, sign_in.login
    if login is None or not isinstance(provider, InteractiveProvider):
        return None
    return login.url if origin_of(login.url) == provider.consent().server else None


async def _check_form(visit: Visit) -> None:
    """Raise `CrossSiteRefused` unless a form of ours was sent."""
    content = await ClientContent(visit.request, PATIENCE, FORM_LIMIT).read(FORM_LIMIT)
    fields = dict(parse_qsl(content.decode("ascii", "replace")))
    visit.check_token(fields.get("token"))


async def _outcome(sign_in: SignIn) -> bool:
    """Wait a while until a sign-in has ended; tell whether it has."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await sign_in.ended.wait()
    return sign_in.ended.is_set()


def _to(url: str) -> web.Response:
    """Send a browser on, by GET."""
    return web.Response(status=303, headers=PROTECTION | {"Location": url})
