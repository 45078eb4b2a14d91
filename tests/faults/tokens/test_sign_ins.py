"""A sign-in's callback answers to its own sign-in only, and approves nothing by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from sources import Make

from proxy.cli.loopback import loopback_sign_in
from proxy.clock import Clock
from proxy.credentials.exchange import Exchange
from proxy.credentials.providers import MiAuth
from proxy.credentials.token import Token
from proxy.errors import LoginFailed
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve


class SigningIn:
    """A sign-in that waits for somebody to approve the page at `url`."""

    def __init__(self, make: Make, origin: str, exchange: Exchange, wait: float) -> None:
        self._shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.source = make(MiAuth(type="miauth", server=origin))
        self.token: asyncio.Task[Token] = asyncio.create_task(
            loopback_sign_in(self.source, exchange, show=self._shown.set_result, wait=wait)
        )

    async def shown(self) -> SigningIn:
        parts = urlsplit(await self._shown)
        self.session = parts.path.rpartition("/")[2]
        [self.callback] = parse_qs(parts.query)["callback"]
        return self

    async def call(self, query: str) -> int:
        """Call the callback as a browser; return the status, 0 if nobody listens any more."""
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"{self.callback}{query}") as response:
                    await response.read()
                    return response.status
            except aiohttp.ClientConnectionError:
                return 0


@asynccontextmanager
async def signing_in(
    make: Make, count: int, wait: float = 20.0
) -> AsyncIterator[tuple[MisskeySandbox, list[SigningIn]]]:
    sandbox, exchange = MisskeySandbox(), Exchange(Clock())
    async with serve(sandbox.application()) as origin:
        started = [SigningIn(make, origin, exchange, wait) for _ in range(count)]
        try:
            yield sandbox, [await one.shown() for one in started]
        finally:
            for one in started:
                one.token.cancel()
            await asyncio.gather(*(one.token for one in started), return_exceptions=True)
            await exchange.close()


@pytest.mark.case("T21")
@pytest.mark.parametrize(
    "query", ["", "?session=", "?session=859b06af-c284-4096-a6d9-a20f9564f7fe", "?other={session}"]
)
async def test_a_callback_that_is_not_of_this_sign_in_is_refused(make: Make, query: str) -> None:
    async with signing_in(make, 1) as (sandbox, [one]):
        assert await one.call(query.format(session=one.session)) == 400
        assert not one.token.done()
        token = sandbox.approve_miauth(one.session)
        calling = asyncio.create_task(one.call(f"?session={one.session}"))
        assert (await one.token).value.reveal() == token
        assert await calling == 200


@pytest.mark.case("T21")
async def test_two_sign_ins_at_once_do_not_take_each_others_callbacks(make: Make) -> None:
    async with signing_in(make, 2) as (sandbox, [one, other]):
        assert one.session != other.session
        assert await one.call(f"?session={other.session}") == 400
        assert await other.call(f"?session={one.session}") == 400
        tokens = [sandbox.approve_miauth(each.session) for each in (one, other)]
        got = await asyncio.gather(one.token, other.token)
    assert [token.value.reveal() for token in got] == tokens


@pytest.mark.case("T21")
async def test_a_callback_approves_nothing(make: Make) -> None:
    """A web page may call it: only the server knows whether somebody has approved."""
    async with signing_in(make, 1, wait=1.0) as (sandbox, [one]):
        calls = [asyncio.create_task(one.call(f"?session={one.session}")) for _ in range(3)]
        with pytest.raises(LoginFailed):
            await one.token
        await asyncio.gather(*calls)
    assert sandbox.calls[f"/api/miauth/{one.session}/check"] <= 10


@pytest.mark.case("T21")
async def test_a_callback_that_is_replayed_finds_nobody(make: Make) -> None:
    async with signing_in(make, 1) as (sandbox, [one]):
        sandbox.approve_miauth(one.session)
        first = asyncio.create_task(one.call(f"?session={one.session}"))
        await one.token
        assert await first == 200
        assert await one.call(f"?session={one.session}") == 0
