"""The source against real token endpoints, with clocks that the tests move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock

from proxy.credentials.exchange import Exchange
from proxy.credentials.providers import (
    ApiKey,
    JQuants,
    MiAuth,
    OAuth2ClientCredentials,
    Provider,
    TokenEndpoint,
)
from proxy.credentials.secret import Secret
from proxy.credentials.source import BLOCKED, EARLY, FORCED_INTERVAL, Source
from proxy.credentials.stores.base import Store
from proxy.credentials.stores.file import FileStore
from proxy.credentials.stores.memory import MemoryStore
from proxy.credentials.token import Token
from proxy.errors import (
    CredentialExhausted,
    GrantRejected,
    LoginRequired,
    StoreError,
    TokenEndpointTimeout,
    TokenEndpointUnreachable,
)
from proxy.events import Event, TokenAcquired, TokenDropped, TokenFailed, TokenNotStored
from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

V2, V1 = "/auth/v2/tokens", "/auth/v1/tokens"


@pytest.fixture
async def portal(clock: Clock) -> AsyncIterator[tuple[Portal, str]]:
    portal = Portal(now=clock)
    async with serve(portal.application()) as origin:
        yield portal, origin


Make = Callable[..., Source]


@pytest.fixture
async def make(clock: Clock) -> AsyncIterator[Make]:
    exchange = Exchange(now=clock)
    common = MemoryStore(now=clock)

    def source(
        provider: Provider, *, store: Store | None = None, events: list[Event] | None = None
    ) -> Source:
        return Source(
            "api",
            provider,
            "https://api.example.com",
            store=store or common,
            exchange=exchange,
            observe=(events if events is not None else []).append,
            now=clock,
            monotonic=clock.monotonic,
            jitter=lambda shortest, longest: longest,
        )

    yield source
    await exchange.close()


def oauth2(origin: str, secret: str = "demo-client-secret") -> OAuth2ClientCredentials:
    return OAuth2ClientCredentials(
        type="oauth2_client_credentials",
        token_url=origin + V2,
        client_id="demo-client",
        client_secret=Secret(secret),
    )


def legacy(origin: str) -> TokenEndpoint:
    request: dict[str, Any] = {
        "url": origin + V1,
        "json": {"clientId": "demo-client", "clientSecret": "demo-client-secret"},
    }
    renewal = {"url": origin + V1, "method": "PATCH", "json": {"refreshToken": "{refresh_token}"}}
    return TokenEndpoint.model_validate(
        {
            "type": "token_endpoint",
            "request": request,
            "renewal": renewal,
            "response": {"token": "accessToken", "refresh_token": "refreshToken"},
            "lifetime": "1h",
            "refresh_lifetime": "1d",
        }
    )


def jquants(origin: str, password: str = "demo-password") -> JQuants:
    return JQuants(
        type="jquants",
        mailaddress=Secret("demo@example.com"),
        password=Secret(password),
        base_url=f"{origin}/v1",
    )


def methods(portal: Portal, path: str) -> list[str]:
    return [request.method for request in portal.requests if request.target == path]


async def test_a_token_is_fetched_once_and_then_comes_from_memory(
    make: Make, portal: tuple[Portal, str]
) -> None:
    source = make(oauth2(portal[1]))
    first = await source.token()
    assert await source.token() is first
    assert portal[0].calls[V2] == 1


async def test_a_thousand_waiters_share_one_fetch(make: Make, portal: tuple[Portal, str]) -> None:
    source = make(oauth2(portal[1]))
    tokens = await asyncio.gather(*(source.token() for _ in range(1000)))
    assert {token.value for token in tokens} == {tokens[0].value}
    assert portal[0].calls[V2] == 1


async def test_a_waiter_that_leaves_takes_nobody_with_it(
    make: Make, portal: tuple[Portal, str]
) -> None:
    source = make(oauth2(portal[1]))
    portal[0].faults.delay = timedelta(milliseconds=50)
    waiters = [asyncio.create_task(source.token()) for _ in range(3)]
    await asyncio.sleep(0.01)
    waiters[0].cancel()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert isinstance(results[1], Token)
    assert results[1] == results[2]


async def test_a_fetch_that_nobody_waits_for_any_more_is_still_kept(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    """Surprise 18: what a token endpoint hands out may exist only once."""
    store = MemoryStore(now=clock)
    source = make(oauth2(portal[1]), store=store)
    portal[0].faults.delay = timedelta(milliseconds=50)
    waiter = asyncio.create_task(source.token())
    await asyncio.sleep(0.01)
    waiter.cancel()
    await source.close()
    assert await source.stored() is not None


async def test_a_token_is_renewed_before_it_expires(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    source = make(oauth2(portal[1]))
    first = await source.token()
    assert first.expires_at is not None
    clock.move(seconds=(first.expires_at - clock() - EARLY).total_seconds() - 1)
    assert await source.token() == first
    clock.move(seconds=2)
    assert await source.token() != first
    assert portal[0].calls[V2] == 2


async def test_a_short_token_is_renewed_in_the_last_tenth_of_its_life(
    make: Make, clock: Clock
) -> None:
    portal = Portal(token_life=timedelta(seconds=20), now=clock)
    async with serve(portal.application()) as origin:
        source = make(oauth2(origin))
        first = await source.token()
        clock.move(seconds=17)
        assert await source.token() == first
        clock.move(seconds=2)
        assert await source.token() != first


async def test_the_legacy_token_is_patched_while_it_lives_and_posted_anew_afterwards(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    """Surprise 6: PATCH works only before the token expires, so it happens early."""
    source = make(legacy(portal[1]))
    await source.token()
    clock.move(minutes=59, seconds=30)
    await source.token()
    assert methods(portal[0], V1) == ["POST", "PATCH"]
    clock.move(hours=2)
    await source.token()
    assert methods(portal[0], V1) == ["POST", "PATCH", "PATCH", "POST"]
    clock.move(days=2)
    await source.token()
    assert methods(portal[0], V1)[4:] == ["POST"], "the clock knows that the refresh token is dead"


async def test_an_expired_refresh_token_is_not_even_tried(make: Make, clock: Clock) -> None:
    sandbox = JQuantsV1(now=clock)
    async with serve(sandbox.application()) as origin:
        source = make(jquants(origin))
        await source.token()
        clock.move(days=1)
        await source.token()
        assert sandbox.calls == {"/v1/token/auth_user": 1, "/v1/token/auth_refresh": 2}
        clock.move(days=6)
        await source.token()
        assert sandbox.calls == {"/v1/token/auth_user": 2, "/v1/token/auth_refresh": 3}


async def test_the_rejected_token_is_never_handed_out_again(
    make: Make, portal: tuple[Portal, str]
) -> None:
    source = make(oauth2(portal[1]))
    first = await source.token()
    portal[0].revoke_tokens()
    assert await source.token(rejected=first) != first


async def test_many_rejections_of_one_token_renew_once(
    make: Make, portal: tuple[Portal, str]
) -> None:
    source = make(oauth2(portal[1]))
    first = await source.token()
    await asyncio.gather(*(source.token(rejected=first) for _ in range(500)))
    assert portal[0].calls[V2] == 2


async def test_a_late_rejection_of_an_older_token_renews_nothing(
    make: Make, portal: tuple[Portal, str]
) -> None:
    source = make(oauth2(portal[1]))
    first = await source.token()
    second = await source.token(rejected=first)
    assert await source.token(rejected=first) == second
    assert portal[0].calls[V2] == 2


async def test_a_rejection_forces_at_most_one_renewal_in_30_seconds(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    source = make(oauth2(portal[1]))
    second = await source.token(rejected=await source.token())
    with pytest.raises(CredentialExhausted):
        await source.token(rejected=second)
    assert await source.token() == second, "it is still the best token that we have"
    clock.move(seconds=FORCED_INTERVAL)
    assert await source.token(rejected=second) != second


async def test_keys_take_turns_and_the_working_one_is_remembered(make: Make) -> None:
    """Surprise 7: the portal's Primary and Secondary."""
    source = make(ApiKey(type="api_key", keys=(Secret("primary"), Secret("secondary"))))
    primary = await source.token()
    secondary = await source.token(rejected=primary)
    assert (primary.value.reveal(), secondary.value.reveal()) == ("primary", "secondary")
    assert await source.token() == secondary
    assert await source.token(rejected=secondary) == primary


async def test_the_only_key_stays_in_use_after_a_rejection(make: Make) -> None:
    source = make(ApiKey(type="api_key", keys=(Secret("only"),)))
    key = await source.token()
    with pytest.raises(CredentialExhausted):
        await source.token(rejected=key)
    assert await source.token() == key


async def test_keys_of_the_configuration_are_not_copied_into_the_store(
    make: Make, tmp_path: Path
) -> None:
    source = make(
        ApiKey(type="api_key", keys=(Secret("only"),)), store=FileStore(tmp_path / "state")
    )
    await source.token()
    assert not list((tmp_path / "state").glob("*.token"))


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
        assert sandbox.calls["/v1/token/auth_user"] == 3600 / BLOCKED == 3


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


async def test_a_restart_finds_the_token_in_the_store(
    make: Make, portal: tuple[Portal, str], tmp_path: Path
) -> None:
    first = await make(oauth2(portal[1]), store=FileStore(tmp_path)).token()
    again = await make(oauth2(portal[1]), store=FileStore(tmp_path)).token()
    assert again == first
    assert portal[0].calls[V2] == 1


async def test_an_edited_configuration_drops_the_old_token(
    make: Make, portal: tuple[Portal, str], tmp_path: Path
) -> None:
    await make(legacy(portal[1]), store=FileStore(tmp_path)).token()
    events: list[Event] = []
    source = make(oauth2(portal[1]), store=FileStore(tmp_path), events=events)
    await source.drop_foreign()
    await source.token()
    assert [type(event) for event in events] == [TokenDropped, TokenAcquired]
    assert methods(portal[0], V1) == ["POST"]


async def test_a_login_by_another_process_is_noticed(
    make: Make, clock: Clock, tmp_path: Path
) -> None:
    """Surprise 11: a rejected Misskey token is dead until the next login, and nobody is asked."""
    provider = MiAuth(type="miauth", server="http://127.0.0.1:9")
    running, login = (make(provider, store=FileStore(tmp_path)) for _ in range(2))
    with pytest.raises(LoginRequired):
        await running.token()
    await login.keep(Token(Secret("first")))
    first = await running.token()
    assert first.value.reveal() == "first"
    with pytest.raises(LoginRequired):
        await running.token(rejected=first)
    with pytest.raises(LoginRequired):
        await running.token()
    await login.keep(Token(Secret("second")))
    second = await running.token()
    assert second.value.reveal() == "second"
    with pytest.raises(LoginRequired):
        await running.token(rejected=second)
    await login.keep(second)
    assert await running.token() == second, "a legacy app gets the same token at each login"
    await login.keep(Token(Secret("third")))
    running.notice_changes()
    assert (await running.token()).value.reveal() == "third"


async def test_a_logout_by_another_process_is_noticed(make: Make, tmp_path: Path) -> None:
    provider = MiAuth(type="miauth", server="http://127.0.0.1:9")
    running, other = (make(provider, store=FileStore(tmp_path)) for _ in range(2))
    await running.keep(Token(Secret("first")))
    assert await other.forget()
    running.notice_changes()
    with pytest.raises(LoginRequired):
        await running.token()


async def test_a_token_serves_from_memory_when_the_store_cannot_be_written(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    class ReadOnly(MemoryStore):
        async def save(self, name: str, fingerprint: str, token: Token) -> None:
            raise StoreError("the disk is full")

    events: list[Event] = []
    source = make(oauth2(portal[1]), store=ReadOnly(now=clock), events=events)
    first = await source.token()
    assert await source.token() == first
    assert any(isinstance(event, TokenNotStored) for event in events)
    assert portal[0].calls[V2] == 1


async def test_a_proxy_that_runs_on_an_old_configuration_leaves_newer_tokens_alone(
    make: Make, portal: tuple[Portal, str], tmp_path: Path
) -> None:
    running = make(oauth2(portal[1]), store=FileStore(tmp_path))
    await running.token()
    edited = make(legacy(portal[1]), store=FileStore(tmp_path))
    bought = await edited.token()
    running.notice_changes()
    await running.stored()
    assert await edited.stored() == bought


async def test_a_store_that_fails_does_not_stop_the_watching(make: Make, clock: Clock) -> None:
    class Broken(MemoryStore):
        def version(self, name: str) -> object:
            raise StoreError("the folder is gone")

    make(
        MiAuth(type="miauth", server="http://127.0.0.1:9"), store=Broken(now=clock)
    ).notice_changes()


async def test_a_token_in_memory_serves_on_while_the_store_cannot_be_read(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    class Unreadable(MemoryStore):
        broken = False

        async def load(self, name: str, fingerprint: str) -> Token | None:
            if self.broken:
                raise StoreError("the entry is damaged")
            return await super().load(name, fingerprint)

        def version(self, name: str) -> object:
            return object() if self.broken else super().version(name)

    store = Unreadable(now=clock)
    source = make(oauth2(portal[1]), store=store)
    first = await source.token()
    store.broken = True
    clock.move(minutes=59, seconds=30)
    assert await source.token() == first
    clock.move(minutes=1)
    with pytest.raises(StoreError):
        await source.token()


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


async def test_a_token_that_could_not_be_stored_is_not_replaced_by_the_one_before(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    """The store still has the rejected one, which no failing endpoint brings back to life."""

    class Full(MemoryStore):
        full = False

        async def save(self, name: str, fingerprint: str, token: Token) -> None:
            if self.full:
                raise StoreError("the disk is full")
            await super().save(name, fingerprint, token)

    store = Full(now=clock)
    source = make(oauth2(portal[1]), store=store)
    first = await source.token()
    store.full = True
    second = await source.token(rejected=first)
    portal[0].faults.fail_next(1000, 500)
    clock.move(minutes=59, seconds=30)
    assert await source.token() == second


async def test_a_login_of_another_project_survives_the_start_of_this_one(
    make: Make, tmp_path: Path
) -> None:
    """Two configurations may call an upstream alike; what cost a human is replaced by a login."""
    ours, theirs = (
        make(
            MiAuth(type="miauth", server="http://127.0.0.1:9", name=name), store=FileStore(tmp_path)
        )
        for name in ("ours", "theirs")
    )
    await theirs.keep(Token(Secret("theirs")))
    await ours.drop_foreign()
    with pytest.raises(LoginRequired):
        await ours.token()
    assert await theirs.stored() == Token(Secret("theirs"))
