"""A sign-in that needs no running proxy: the browser comes back to a loopback port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from proxy.credentials.exchange import Exchange
from proxy.credentials.login import Waiting, sign_in
from proxy.credentials.source import Source
from proxy.credentials.token import Login, Token
from proxy.errors import SidekeyError

CALLBACK_PATH = "/sidekey/callback"
_PAGE = """<!doctype html><meta charset="utf-8"><title>sidekey</title>
<body style="font: 1.1em system-ui; margin: 4em auto; max-width: 32em"><h1>{title}</h1><p>{text}"""
_DONE = _PAGE.format(title="Signed in", text="The token is kept. You can close this tab.")
_NOT_DONE = _PAGE.format(title="Not signed in", text="sidekey says why in its terminal.")
_FOREIGN = _PAGE.format(
    title="Not this sign-in",
    text="This page belongs to another sign-in than the one that sidekey is waiting for.",
)


async def loopback_sign_in(
    source: Source, exchange: Exchange, *, show: Callable[[str], None], wait: float
) -> Token:
    """Lead a human through a sign-in as `sign_in` does; `show` gets the URL to open."""
    waiting = Waiting()
    async with _catching(waiting) as catcher:

        def begin(login: Login) -> None:
            catcher.login = login
            show(login.url)

        try:
            token = await sign_in(
                source, exchange, waiting, callback=catcher.url, show=begin, wait=wait
            )
        except SidekeyError:
            catcher.outcome.set_result(_NOT_DONE)
            raise
        catcher.outcome.set_result(_DONE)
    return token


class _Catcher:
    """Catches the browser when it comes back to `url`, and shows it `outcome`, a page, if any."""

    def __init__(self, waiting: Waiting) -> None:
        self.url = ""
        self.login: Login | None = None
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting = waiting

    async def catch(self, request: web.Request) -> web.Response:
        """Answer the browser once it is known how the sign-in ends."""
        if self.login is None or not self.login.is_named_by(request.query):
            return web.Response(status=400, text=_FOREIGN, content_type="text/html")
        self._waiting.come_back()
        page = await asyncio.shield(self.outcome)  # another tab may wait for it too
        return web.Response(text=page, content_type="text/html")


@asynccontextmanager
async def _catching(waiting: Waiting) -> AsyncIterator[_Catcher]:
    """Listen on a free loopback port while the block runs."""
    application = web.Application()
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    catcher = _Catcher(waiting)
    application.router.add_get(CALLBACK_PATH, catcher.catch)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        catcher.url = f"http://127.0.0.1:{runner.addresses[0][1]}{CALLBACK_PATH}"
        yield catcher
    finally:
        await runner.cleanup()
