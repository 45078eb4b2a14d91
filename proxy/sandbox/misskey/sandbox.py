"""The sandbox itself: a Misskey server for tests and demonstrations, and the way to look inside."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from aiohttp import web

from proxy.sandbox.misskey.accounts import App
from proxy.sandbox.misskey.api import Api
from proxy.sandbox.misskey.arrivals import Arrival, RecordedRequest
from proxy.sandbox.misskey.errors import NeverAnsweredError
from proxy.sandbox.misskey.faults import Faults
from proxy.sandbox.misskey.permissions import PERMISSIONS
from proxy.sandbox.misskey.release import RELEASES
from proxy.sandbox.misskey.site import Site
from proxy.sandbox.misskey.state import State
from proxy.sandbox.misskey.upgrades import upgrade, wants_upgrade

_KEPT_REQUESTS = 1000
_KEEP_ALIVE_SECONDS = 72


class MisskeySandbox:
    """One Misskey server with a user "bob"; it behaves like the release that it is told to play.

    Args:
        version: "2025.11.1" or "13.13.2".
        origin: the server's configured URL, which stands in bodies whatever Host a client sends;
            the socket's own address if it is not given.
        old_bad_token_status: 403 to answer a bad token like the released 13.13.2.
        rate_limits: whether calls are counted, as servers in production mode do.
        federation: whether `.well-known/nodeinfo` is open.
        ping_interval: seconds between the pings of the streaming API; a client that answers
            two of them with silence is cut when the third is due.
    """

    def __init__(
        self,
        version: str = "2025.11.1",
        *,
        origin: str | None = None,
        old_bad_token_status: Literal[401, 403] = 401,
        rate_limits: bool = False,
        federation: bool = False,
        ping_interval: float = 60.0,
    ) -> None:
        release = replace(RELEASES[version], bad_token_status=old_bad_token_status)
        self._state = State(release, origin, ping_interval)
        self._user = self._state.accounts.add_user("bob")
        self._api = Api(self._state, rate_limits=rate_limits)
        self._site = Site(self._state, self._user, federation=federation)
        self._closing = asyncio.Event()
        self.app_secret = self.create_app(
            "Sandbox app", ["read:account", "write:notes", "write:drive"]
        ).secret
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        """Requests per path, such as `/api/notes/create`."""
        self.requests: deque[RecordedRequest] = deque(maxlen=_KEPT_REQUESTS)
        """The latest requests, as they arrived."""

    @property
    def native_token(self) -> str:
        """Bob's own token of 16 characters, with every right."""
        return self._user.native_token

    def issue_token(self, permission: Iterable[str]) -> str:
        """A token of 32 characters, as made by hand in the settings."""
        return self._state.accounts.issue(self._user, permission).value

    def revoke(self, token: str) -> None:
        """Make a token unknown.

        Raises:
            KeyError: there is no such token.
        """
        found = self._state.accounts.find_token(token)
        if found is None:
            raise KeyError("no such token")
        self._state.accounts.revoke(found)

    def add_suspended_user(self, username: str) -> str:
        """A second account that a moderator has suspended; returns its native token."""
        user = self._state.accounts.add_user(username)
        user.suspended = True
        return user.native_token

    def create_app(
        self, name: str, permission: Iterable[str], callback_url: str | None = None
    ) -> App:
        """Register an app of the legacy flow."""
        return self._state.accounts.create_app(name, permission, callback_url)

    def approve_miauth(self, session: str, permission: Iterable[str] = PERMISSIONS) -> str:
        """Accept a MiAuth session as the page does; returns the token that `check` will tell.

        There is nothing to call for a denial: it leaves no trace on a real server either.
        """
        return self._state.accounts.issue(self._user, permission, session=session).value

    def approve_session(self, token: str) -> None:
        """Accept a session of the legacy flow as the page does.

        Raises:
            KeyError: there is no such session.
        """
        self._state.accounts.accept(self._state.accounts.auth_sessions[token], self._user)

    def application(self) -> web.Application:
        """The server, for `proxy.sandbox.serving.serve`."""
        self._closing.clear()
        application = web.Application(
            handler_args={
                "auto_decompress": False,  # Fastify does not look at Content-Encoding
                "handler_cancellation": True,  # a client that leaves ends what waits for it
                "keepalive_timeout": _KEEP_ALIVE_SECONDS,
            }
        )
        application.router.add_route("*", "/{path:.*}", self._answer)
        application.on_response_prepare.append(_use_node_fields)
        application.on_shutdown.append(self._close)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        arrival = Arrival(request)
        self.calls[arrival.path] += 1
        if self._state.configured_origin is None:
            self._state.configured_origin = _origin_of_socket(request)
        if wants_upgrade(request):
            self.requests.append(arrival.record())
            return await upgrade(request, arrival.query, self._state)
        try:
            return await self._respond(arrival)
        except NeverAnsweredError:
            pass
        finally:
            self.requests.append(arrival.record())
        await self._closing.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # goes nowhere: the socket is closed

    async def _respond(self, arrival: Arrival) -> web.StreamResponse:
        if not arrival.path.startswith("/api/"):
            return await self._site.answer(arrival)
        failure = await self.faults.strike()
        return failure or await self._api.answer(arrival)

    async def _close(self, _: web.Application) -> None:
        self._closing.set()
        self._state.streams.close()
        self._state.drive.close()


def _origin_of_socket(request: web.Request) -> str:
    if request.transport is None:
        raise ConnectionResetError("the client has gone")
    host, port = request.transport.get_extra_info("sockname")[:2]
    return f"http://{host}:{port}"


async def _use_node_fields(request: web.Request, response: web.StreamResponse) -> None:
    """Take back what aiohttp adds by itself and put what Node.js adds."""
    headers = response.headers
    headers.popall("Server", None)
    if response.status == 101:
        headers.popall("Date", None)
        headers.popall("Content-Type", None)
        headers["Connection"] = "Upgrade"  # aiohttp writes it in lower case
        return
    if response.content_length == 0 or response.status == 204:
        headers.popall("Content-Type", None)
    if request.version >= (1, 1) and response.keep_alive:
        headers["Connection"] = "keep-alive"
        headers["Keep-Alive"] = f"timeout={_KEEP_ALIVE_SECONDS}"
