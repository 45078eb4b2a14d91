"""Interactive sign-in: a page of the real server, a callback on a loopback port, a kept token."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

from aiohttp import web

from proxy.credentials.exchange import Exchange
from proxy.credentials.providers import InteractiveProvider
from proxy.credentials.source import Source
from proxy.credentials.token import Login, Token, TokenFlow
from proxy.errors import LoginFailed, LoginPending, SidekeyError, StoreError, TokenEndpointError

POLL = 2.0  # seconds; a denial and a closed browser never call back, so the server is asked
CALLBACK_PATH = "/sidekey/callback"
_PAGE = """<!doctype html><meta charset="utf-8"><title>sidekey</title>
<body style="font: 1.1em system-ui; margin: 4em auto; max-width: 32em"><h1>{title}</h1><p>{text}"""
_DONE = _PAGE.format(title="Signed in", text="The token is kept. You can close this tab.")
_NOT_DONE = _PAGE.format(title="Not signed in", text="sidekey says why in its terminal.")
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
        raise LoginFailed("this upstream needs no login: its provider signs in by itself")
    state = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    returned = asyncio.Event()
    async with _callback(returned) as catcher:
        login = await exchange.run(provider.begin(catcher.url, state), provider)
        catcher.login = login
        show(login.url)
        try:
            asking = partial(exchange.run, provider=provider)
            token = await _approved(login, asking, returned, wait)
            await source.keep(token)
        except SidekeyError:
            catcher.outcome.set_result(_NOT_DONE)
            raise
        catcher.outcome.set_result(_DONE)
    return token


async def _approved(
    login: Login,
    asking: Callable[[TokenFlow], Awaitable[Token]],
    returned: asyncio.Event,
    wait: float,
) -> Token:
    """Ask until the server says that somebody approved: at each callback, and from time to time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        try:
            return await asking(login.finish())
        except (LoginPending, TokenEndpointError) as error:
            left = deadline - loop.time()
            if not left > 0:  # no number is never reached
                raise _too_late(error, wait) from None
        returned.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(POLL, left)):
                await returned.wait()


def _too_late(error: LoginPending | TokenEndpointError, wait: float) -> LoginFailed:
    if isinstance(error, TokenEndpointError):
        return LoginFailed(f"the server could not be asked: {error.detail}")
    return LoginFailed(
        f"nobody approved within {wait:.0f} s: the request was denied, or the page left alone",
        fix="sidekey login {upstream}",
    )


class _Catcher:
    """Catches the browser when it comes back, and shows it `outcome`, a page, once there is one."""

    def __init__(self, url: str, returned: asyncio.Event) -> None:
        self.url = url
        self.login: Login | None = None
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._returned = returned

    async def catch(self, request: web.Request) -> web.Response:
        login = self.login
        if login is None or request.query.get(login.state_name) != login.state:
            return web.Response(status=400, text=_FOREIGN, content_type="text/html")
        self._returned.set()
        page = await asyncio.shield(self.outcome)  # another tab may wait for it too
        return web.Response(text=page, content_type="text/html")


@asynccontextmanager
async def _callback(returned: asyncio.Event) -> AsyncIterator[_Catcher]:
    application = web.Application()
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    catcher = _Catcher("", returned)
    application.router.add_get(CALLBACK_PATH, catcher.catch)
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

    Raises `StoreError` if the folder cannot be made or written.
    Two sign-ins at once would end in two tokens of which one is thrown away, still valid.
    The lock file stays: deleting it would let a third process lock another file of that name.
    """
    path = folder / f"{name}.login"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}") from None
    try:
        _lock(descriptor, name)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, name: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LoginFailed(
            f"another sidekey login {name} is waiting", fix="finish or stop the other one first"
        ) from None
