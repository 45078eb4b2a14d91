"""What a source does, and says, while no token can be had."""

from __future__ import annotations

import asyncio

import pytest
from clocks import Clock
from sources import V2, Make, jquants, oauth2

from proxy.credentials.providers import (
    JQuants,
)
from proxy.credentials.secret import Secret
from proxy.credentials.source import REFUSED
from proxy.errors import (
    GrantRejected,
    TokenEndpointTimeout,
    TokenEndpointUnreachable,
)
from proxy.events import Event, TokenFailed
from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve


async def test_a_wrong_password_is_tried_at_most_three_times_an_hour(
    make: Make, clock: Clock
) -> None:
    """Surprise 2: 400 is final; a loop would lock the account."""
    sandbox = JQuantsV1(now=clock)
    async with serve(sandbox.application()) as origin:
        source = make(jquants(origin, password="wrong-password"))
        for _ in range(120):
            with pytest.raises(GrantRejected, match="is incorrect"):
                await source.token()
            clock.move(seconds=30)
        assert sandbox.calls["/v1/token/auth_user"] == 3600 / REFUSED == 3


async def test_a_failing_endpoint_is_asked_at_growing_intervals(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    events: list[Event] = []
    source = make(oauth2(portal[1]), events=events)
    portal[0].faults.fail_next(1000, 503)
    for _ in range(120):
        with pytest.raises(TokenEndpointUnreachable):
            await source.token()
        clock.move(seconds=1)
    pauses = [event.retry_in for event in events if isinstance(event, TokenFailed)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60]


async def test_a_token_that_lives_serves_on_while_the_endpoint_is_down(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    source = make(oauth2(portal[1]))
    first = await source.token()
    portal[0].faults.fail_next(1000, 500)
    clock.move(minutes=59, seconds=10)
    for _ in range(40):
        assert await source.token() == first
        clock.move(seconds=1)
    assert portal[0].calls[V2] <= 8, "not once a request"
    clock.move(minutes=1)
    with pytest.raises(TokenEndpointUnreachable):
        await source.token()


async def test_a_recovered_endpoint_is_used_again(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    source = make(oauth2(portal[1]))
    portal[0].faults.fail_next(1, 500)
    with pytest.raises(TokenEndpointUnreachable) as caught:
        await source.token()
    assert caught.value.retry_after == 1
    clock.move(seconds=0.25)
    with pytest.raises(TokenEndpointUnreachable) as caught:
        await source.token()
    assert caught.value.retry_after == 0.75, "what is left of it"
    clock.move(seconds=1)
    assert (await source.token()).value
    assert source.failure is None


async def test_an_unreachable_endpoint_is_named_without_its_query(make: Make) -> None:
    """Surprise 3: J-Quants takes the refresh token in the query."""
    provider = JQuants(
        type="jquants", refresh_token=Secret("paste-canary"), base_url="http://127.0.0.1:9/v1"
    )
    with pytest.raises(TokenEndpointUnreachable) as caught:
        await make(provider).token()
    assert "127.0.0.1:9/v1/token/auth_refresh" in caught.value.detail
    assert "paste-canary" not in caught.value.detail + repr(caught.value)


async def test_a_silent_endpoint_times_out(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.credentials.exchange.TIMEOUT", 0.1)

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    async with server:
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(TokenEndpointTimeout):
            await make(oauth2(origin)).token()


@pytest.mark.parametrize(
    "echoed",
    [
        "p@ss/word+canary",
        "p%40ss%2Fword%2Bcanary",
        "P%40SS%2fword%2bCANARY",
        "Basic ZGVtby1jbGllbnQ6cCU0MHNzJTJGd29yZCUyQmNhbmFyeQ==",
    ],
)
async def test_a_secret_that_the_endpoint_echoes_is_masked(make: Make, echoed: str) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        content = b'{"error":"invalid_client","error_description":"no such secret: %b"}' % (
            echoed.encode()
        )
        writer.write(
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(GrantRejected) as caught:
            await make(oauth2(origin, secret="p@ss/word+canary")).token()
    masked = "Basic ***" if echoed.startswith("Basic") else "***"
    assert str(caught.value).endswith(f": invalid_client, no such secret: {masked}")


async def test_a_redirect_of_the_token_endpoint_is_a_failure_and_not_followed(make: Make) -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    async with server:
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(GrantRejected, match="302"):
            await make(oauth2(origin)).token()


async def test_an_endpoint_that_says_retry_after_0_is_not_hammered(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    asked = 0
    server = await asyncio.start_server(busy, "127.0.0.1", 0)
    async with server:
        source = make(oauth2(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        for _ in range(20):
            with pytest.raises(TokenEndpointUnreachable):
                await source.token()
    assert asked == 1
