"""How long a token lives, who fetches it, and what a rejection does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from clocks import Clock
from sources import V1, V2, Make, jquants, legacy, methods, oauth2, tended

from proxy.credentials.entry import FORCED_INTERVAL
from proxy.credentials.providers import (
    ApiKey,
)
from proxy.credentials.schedule import HARD, SOFT
from proxy.credentials.secret import Secret
from proxy.credentials.source import KEY_REST
from proxy.credentials.stores.file import FileStore
from proxy.credentials.stores.memory import MemoryStore
from proxy.credentials.token import Token
from proxy.errors import (
    CredentialExhausted,
)
from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

LIFE = 3600.0  # seconds, of the portal's tokens


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
    await source.settle()
    assert await make(oauth2(portal[1]), store=store).peek() is not None


async def test_a_token_is_renewed_before_it_expires(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    source = make(oauth2(portal[1]))
    first = await source.token()
    clock.move(seconds=LIFE - SOFT - 1)
    assert await source.token() == first
    clock.move(seconds=2)
    assert await source.token() == first, "nobody waits for the next one while this one is good"
    await source.settle()
    assert await source.token() != first
    assert portal[0].calls[V2] == 2


async def test_in_the_last_part_of_its_life_requests_wait_for_the_next_token(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    source = make(oauth2(portal[1]))
    first = await source.token()
    clock.move(seconds=LIFE - HARD)
    assert await source.token() != first


async def test_a_short_token_is_renewed_in_the_last_fifth_of_its_life(
    make: Make, clock: Clock
) -> None:
    portal = Portal(token_life=timedelta(seconds=20), now=clock)
    async with serve(portal.application()) as origin:
        source = make(oauth2(origin))
        first = await source.token()
        clock.move(seconds=15)
        assert await source.token() == first
        await source.settle()
        assert await source.token() == first
        clock.move(seconds=1)
        assert await source.token() == first
        await source.settle()
        assert await source.token() != first


async def test_a_token_in_use_is_renewed_without_a_request_and_an_idle_one_is_not(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    source = make(oauth2(portal[1]))
    first = await source.token()
    await source.token()
    await tended(source)
    for _ in range(2):
        clock.move(seconds=LIFE - SOFT + 1)
        await tended(source)
        await tended(source)
    assert portal[0].calls[V2] == 2
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
    clock.move(seconds=FORCED_INTERVAL.total_seconds())
    assert await source.token(rejected=second) != second


async def test_keys_take_turns_and_the_working_one_is_remembered(make: Make, clock: Clock) -> None:
    """Surprise 7: the portal's Primary and Secondary."""
    source = make(ApiKey(type="api_key", keys=(Secret("primary"), Secret("secondary"))))
    primary = await source.token()
    secondary = await source.token(rejected=primary)
    assert (primary.value.reveal(), secondary.value.reveal()) == ("primary", "secondary")
    assert await source.token() == secondary
    clock.move(seconds=KEY_REST)
    assert await source.token(rejected=secondary) == primary


async def test_keys_that_are_all_rejected_do_not_flap(make: Make, clock: Clock) -> None:
    source = make(ApiKey(type="api_key", keys=(Secret("primary"), Secret("secondary"))))
    secondary = await source.token(rejected=await source.token())
    for _ in range(3):
        with pytest.raises(CredentialExhausted):
            await source.token(rejected=secondary)
        assert await source.token() == secondary, "it is all there is"


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
