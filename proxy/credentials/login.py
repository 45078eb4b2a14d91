"""Interactive sign-in: a page of the real server, a callback on a loopback port, a kept token."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from aiohttp import web

from proxy.credentials.exchange import Exchange
from proxy.credentials.providers import InteractiveProvider
from proxy.credentials.source import Source
from proxy.credentials.token import Login, Token
from proxy.errors import LoginFailed, LoginPending, TokenEndpointError

POLL = 2.0  # seconds; a denial and a closed browser never call back, so the server is asked
CALLBACK_PATH = "/sidekey/callback"
_PAGE = """<!doctype html><meta charset="utf-8"><title>sidekey</title>
<body style="font: 1.1em system-ui; margin: 4em auto; max-width: 32em"><h1>{title}</h1><p>{text}"""
_DONE = _PAGE.format(title="Approved", text="You can close this tab and go back to the terminal.")
_FOREIGN = _PAGE.format(
    title="Not this sign-in",
    text="This page belongs to another sign-in than the one that sidekey is waiting for.",
)


async def sign_in(
    source: Source,
    exchange: Exchange,
    *,
    show: Callable[[str], None],
    wait: float,
) -> Token:
    """Lead a human through the sign-in of `source` and keep the token.

    `show` gets the URL to open. The token is persisted before anything else happens to it: the
    server may hand it out only once. Raises `LoginFailed` if nobody approves within `wait`
    seconds.
    """
    provider = source.provider
    if not isinstance(provider, InteractiveProvider):
        raise LoginFailed(f"upstream {source.name} needs no login: its provider signs in by itself")
    state = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    returned = asyncio.Event()
    async with _callback(returned) as catcher:
        login = await exchange.run(provider.begin(catcher.url, state))
        catcher.login = login
        show(login.url)
        token = await _approved(login, exchange, returned, wait)
        await source.keep(token)
    return token


async def _approved(
    login: Login, exchange: Exchange, returned: asyncio.Event, wait: float
) -> Token:
    """Ask until the server says that somebody approved: at each callback, and from time to time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        try:
            return await exchange.run(login.finish())
        except (LoginPending, TokenEndpointError) as error:
            left = deadline - loop.time()
            if left <= 0:
                raise _too_late(error, wait) from None
        returned.clear()
        try:
            await asyncio.wait_for(returned.wait(), min(POLL, left))
        except TimeoutError:
            continue


def _too_late(error: LoginPending | TokenEndpointError, wait: float) -> LoginFailed:
    if isinstance(error, TokenEndpointError):
        return LoginFailed(f"the server could not be asked: {error.detail}")
    return LoginFailed(
        f"nobody approved within {wait:.0f} s: the request was denied, or the page left alone",
        fix="sidekey login {upstream}",
    )


class _Catcher:
    """Catches the browser when it comes back."""

    def __init__(self, url: str, returned: asyncio.Event) -> None:
        self.url = url
        self.login: Login | None = None
        self._returned = returned

    def catch(self, request: web.Request) -> web.Response:
        login = self.login
        if login is None or request.query.get(login.state_name) != login.state:
            return web.Response(status=400, text=_FOREIGN, content_type="text/html")
        self._returned.set()
        return web.Response(text=_DONE, content_type="text/html")


@asynccontextmanager
async def _callback(returned: asyncio.Event) -> AsyncIterator[_Catcher]:
    application = web.Application()
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    catcher = _Catcher("", returned)

    async def catch(request: web.Request) -> web.Response:
        return catcher.catch(request)

    application.router.add_get(CALLBACK_PATH, catch)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        catcher.url = f"http://127.0.0.1:{runner.addresses[0][1]}{CALLBACK_PATH}"
        yield catcher
    finally:
        await runner.cleanup()


@contextmanager
def only_login(folder: Path, name: str) -> Iterator[None]:
    """Hold the right to sign in to `name`; raise `LoginFailed` if another process holds it.

    Two sign-ins at once would end in two tokens of which one is thrown away, still valid.
    The lock file stays: deleting it would let a third process lock another file of that name.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / f"{name}.login", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise LoginFailed(
            f"another sidekey login {name} is waiting", fix="finish or stop the other one first"
        ) from None
    finally:
        os.close(descriptor)
