"""How long a token is used: as long as it lives, by whichever clock, and never beyond."""

from __future__ import annotations

import base64
import itertools
import json
import math
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from flows import SENT_AT, answer, at, play
from hypothesis import given
from hypothesis import strategies as st
from raw_upstream import json_response
from sources import Make, legacy, methods, tended
from token_server import TokenServer, token_server

from proxy.credentials.attempts import LIMIT
from proxy.credentials.entry import Entry
from proxy.credentials.identity import material
from proxy.credentials.lifetime import Lifetime
from proxy.credentials.providers import OAuth2ClientCredentials
from proxy.credentials.schedule import HARD, INTERVAL, SOFT, SPREAD, deadlines, same_again
from proxy.credentials.secret import Secret
from proxy.credentials.stores.file import FileStore
from proxy.credentials.token import Token
from proxy.errors import GrantRejected, SidekeyError
from proxy.events import ClockJumped, Event, TokenExpired
from proxy.observe.status import status_of
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

DEFAULT = timedelta(minutes=30)


def lifetime(**members: Any) -> timedelta | None:
    """Return how long a token lives whose answer has these members, 30 minutes by default."""
    provider = OAuth2ClientCredentials(
        type="oauth2_client_credentials",
        token_url="https://auth.example.com/token",
        client_id="me",
        client_secret=Secret("secret"),
        default_lifetime=DEFAULT,
    )
    content = json.dumps({"access_token": "t"} | members).encode()
    token, _ = play(provider.acquire(None), answer(content))
    return None if token.expires_at is None else token.expires_at - SENT_AT


def jwt(exp: object) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).decode().rstrip("=")
    return f"e30.{claims}.x"


@pytest.mark.case("T07")
@pytest.mark.parametrize(
    ("expires_in", "life"),
    [
        (None, DEFAULT),
        (0, DEFAULT),
        (-1, DEFAULT),
        ("3600", timedelta(hours=1)),
        (1e99, DEFAULT),
        (math.nan, DEFAULT),
        (math.inf, DEFAULT),
        ("canary", DEFAULT),
        ([], DEFAULT),
        (True, DEFAULT),
        (3600.5, timedelta(hours=1, milliseconds=500)),
    ],
)
def test_a_lifetime_is_what_is_told_if_that_makes_sense(
    expires_in: object, life: timedelta
) -> None:
    assert lifetime(expires_in=expires_in) == life


@pytest.mark.case("T08")
@pytest.mark.parametrize(
    ("exp", "life"),
    [
        (at(minutes=10).timestamp(), timedelta(minutes=10)),
        (at(minutes=10).timestamp() * 1000, timedelta(minutes=10)),
        (at(minutes=-10).timestamp(), DEFAULT),
        (0, DEFAULT),
        ("soon", DEFAULT),
        (1e300, DEFAULT),
    ],
    ids=["seconds", "milliseconds", "in the past", "1970", "a word", "absurd"],
)
def test_a_jwt_expires_when_it_says_if_that_makes_sense(exp: object, life: timedelta) -> None:
    assert lifetime(access_token=jwt(exp)) == life


# Windows


@pytest.mark.parametrize(
    ("life", "soft", "hard"),
    [(3600, SOFT, HARD), (86400, SOFT, HARD), (60, 12, 3), (5, 1, 0.25)],
)
def test_a_token_has_a_part_of_its_life_for_the_next_one_to_come(
    life: float, soft: float, hard: float
) -> None:
    found = deadlines(1000.0, age=0.0, left=life, life=life, spread=1.0)
    assert (found.end - found.soft, found.end - found.hard) == pytest.approx((soft, hard))
    assert found.end == 1000.0 + life


@given(
    life=st.floats(0.1, 1e9),
    share=st.floats(0.0, 1.0),
    spread=st.floats(1 - SPREAD, 1 + SPREAD),
    renew_in=st.floats(0.0, 1e9) | st.just(math.inf),
)
def test_deadlines_come_in_order_and_leave_time_between_renewals(
    life: float, share: float, spread: float, renew_in: float
) -> None:
    left, age = life * share, life * (1 - share)
    found = deadlines(0.0, age=age, left=left, life=life, spread=spread, renew_in=renew_in)
    assert found.soft <= found.hard <= found.end
    assert found.earliest <= found.end
    assert found.due(found.end)
    assert not found.due(min(found.earliest, found.end) - 1e-3 * life)


@given(left=st.floats(0.0, 1e9))
def test_who_answers_with_the_same_token_is_not_asked_within_10_seconds(left: float) -> None:
    again = same_again(0.0, left)
    assert again >= min(INTERVAL, left)
    assert left - again >= INTERVAL or again == left


async def test_processes_do_not_renew_at_the_same_moment(clock: Clock) -> None:
    draws = random.Random(1)
    soft = set()
    for _ in range(20):
        life = Lifetime(type(clock.system)(clock, clock.monotonic, draws.uniform))
        token = Token(Secret("t"), expires_at=clock() + timedelta(hours=1))
        life.begin(Entry(token, obtained_at=clock()), None, outlived=False)
        soft.add(round(life.deadlines.end - life.deadlines.soft))
    assert len(soft) > 10
    assert SOFT * (1 - SPREAD) <= min(soft) <= max(soft) <= SOFT * (1 + SPREAD)


# Rotation


@pytest.mark.case("T09")
async def test_a_renewal_without_a_refresh_token_leaves_the_old_one_in_use(
    make: Make, server: TokenServer, clock: Clock, folder: Any
) -> None:
    source = make(server.provider(), store=FileStore(folder))
    first = await source.token()
    server.faults = [json_response("200 OK", b'{"access_token":"canary-t","expires_in":3600}')]
    clock.move(hours=2)
    second = await source.token()
    assert second.value == Secret("canary-t")
    assert second.refresh_token == first.refresh_token
    clock.move(hours=2)
    assert (await source.token()).refresh_token != first.refresh_token
    assert server.calls == {"sign-in": 1, "renewal": 1}


# Clocks


@pytest.mark.case("T18")
@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1), timedelta(minutes=10)])
async def test_a_clock_that_is_set_costs_one_renewal_at_most_and_lengthens_no_life(
    make: Make, server: TokenServer, clock: Clock, folder: Any, jump: timedelta
) -> None:
    """The server's clock goes right all the time."""
    server.now = lambda: clock.seconds
    source = make(server.provider(), store=FileStore(folder))
    await source.token()
    clock.jump(seconds=jump.total_seconds())
    for _ in range(3 * 3600):
        await tended(source)
        token = await source.token()
        assert server.is_good(token), "used beyond its life"
        clock.move(seconds=1)
    assert server.calls["sign-in"] + server.calls["renewal"] <= 5


@pytest.mark.case("T18")
@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1), timedelta(minutes=-10)])
async def test_a_clock_that_is_set_while_a_token_is_fetched_changes_nothing_of_its_life(
    make: Make, server: TokenServer, clock: Clock, jump: timedelta
) -> None:
    server.now = lambda: clock.seconds
    server.issued_one = lambda: clock.jump(seconds=jump.total_seconds())
    source = make(server.provider(renews=False))
    first = await source.token()
    server.issued_one = lambda: None
    while server.is_good(first):
        assert server.calls["sign-in"] <= 2
        assert server.is_good(await source.token()), "used beyond its life"
        clock.move(seconds=60)
    assert server.is_good(await source.token()), "used beyond its life"


@pytest.mark.case("T18")
async def test_clocks_that_jump_again_and_again_cause_no_stampede(
    make: Make, server: TokenServer, clock: Clock
) -> None:
    server.now = lambda: clock.seconds
    draws = random.Random(2)
    source = make(server.provider())
    jumps = 0
    for _ in range(4 * 3600):
        if draws.random() < 0.005:
            jumps += 1
            clock.jump(seconds=draws.choice([86400, -86400, 600, -600]))
        await tended(source)
        assert server.is_good(await source.token()), "used beyond its life"
        clock.move(seconds=1)
    assert server.calls["sign-in"] + server.calls["renewal"] <= 6 + jumps


@pytest.mark.case("T18")
async def test_a_stored_token_gains_no_life_by_a_clock_that_was_set_back(
    make: Make, server: TokenServer, clock: Clock, folder: Any
) -> None:
    server.now = lambda: clock.seconds
    await make(server.provider(), store=FileStore(folder)).token()
    clock.jump(days=-1)
    source = make(server.provider(), store=FileStore(folder))
    first = await source.token()
    clock.move(minutes=61)
    assert await source.token() != first


async def test_a_machine_that_slept_renews_before_the_first_request(
    make: Make, server: TokenServer, clock: Clock
) -> None:
    """Linux's monotonic clock stands still meanwhile; ours does not."""
    events: list[Event] = []
    source = make(server.provider(), events=events)
    first = await source.token()
    clock.move(hours=8)
    assert await source.token() != first
    clock.move(hours=8)
    await tended(source)
    assert [type(event) for event in events].count(TokenExpired) == 1


async def test_a_virtual_machine_whose_clocks_stood_still_goes_by_the_time_of_day(
    make: Make, server: TokenServer, clock: Clock
) -> None:
    source = make(server.provider())
    first = await source.token()
    clock.jump(hours=8)  # set by the host as it wakes up
    await tended(source)
    assert await source.token() != first


def test_a_jump_of_the_clock_is_an_event_that_says_how_far() -> None:
    assert ClockJumped(-86400.0).seconds == -86400.0


# Experience


async def test_where_nobody_tells_the_lifetime_a_rejection_does(make: Make, clock: Clock) -> None:
    """As J-Quants' ID tokens: assumed to live a day, and dead after two hours here."""
    async with token_server(now=lambda: clock.seconds, life=7200.0, tells_life=False) as server:
        source = make(server.provider())
        rejections = 0
        for _ in range(24 * 60):
            token = await source.token()
            if not server.is_good(token):
                rejections += 1
                token = await source.token(rejected=token)
                assert server.is_good(token)
            await tended(source)
            await tended(source)
            clock.move(minutes=1)
    assert 1 <= rejections <= 4, "the first one, and when it tries whether they live longer again"


async def test_who_is_rejected_within_a_minute_has_not_died_of_old_age(
    make: Make, clock: Clock
) -> None:
    async with token_server(now=lambda: clock.seconds, tells_life=False) as server:
        source = make(server.provider())
        second = await source.token(rejected=await source.token())
        for _ in range(3600):
            clock.move(seconds=1)
            await tended(source)
            assert await source.token() == second


# The same token again


@pytest.mark.case("T19")
async def test_an_endpoint_that_answers_with_the_same_token_is_asked_every_10_seconds_at_most(
    make: Make, server: TokenServer, clock: Clock
) -> None:
    """Google's metadata server, until shortly before the token expires."""
    asked: list[float] = []

    def same_for_225_seconds() -> bytes:
        asked.append(clock.seconds)
        life, number = 225 - clock.seconds % 225, int(clock.seconds // 225)
        members = {"access_token": f"canary-{number}", "expires_in": life}
        return json_response("200 OK", json.dumps(members).encode())

    server.fault = same_for_225_seconds
    source = make(server.provider())
    for _ in range(3600):
        token = await source.token()
        assert token.value == Secret(f"canary-{int(clock.seconds // 225)}")
        await tended(source)
        clock.move(seconds=1)
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert min(gaps) >= INTERVAL
    assert len(asked) <= 16 * 6


@pytest.mark.parametrize("life", [0.5, 2.0, 5.0, 20.0])
async def test_short_lives_are_used_up_before_the_next_begins(
    make: Make, clock: Clock, life: float
) -> None:
    async with token_server(now=lambda: clock.seconds, life=life) as server:
        source = make(server.provider())
        for _ in range(400):
            assert server.is_good(await source.token())
            await tended(source)
            clock.move(seconds=life / 20)
    assert server.calls["renewal"] <= 400 / 20 / 0.75


async def test_a_token_that_has_expired_on_its_way_is_not_handed_out(
    make: Make, server: TokenServer, clock: Clock
) -> None:
    def slowly() -> bytes:
        clock.move(seconds=10)
        return json_response("200 OK", b'{"access_token":"canary-t","expires_in":5}')

    server.fault = slowly
    source = make(server.provider())
    for _ in range(20):
        with pytest.raises(SidekeyError, match="an expired token"):
            await source.token()
    assert server.asked == 1, "a loop would ask as fast as it can"


# Absence


@pytest.mark.case("T23")
async def test_a_token_that_renews_only_while_it_lives_begins_anew_after_25_hours(
    make: Make, clock: Clock, folder: Any
) -> None:
    """Surprise 6: the portal's PATCH, whose refresh token lives for a day."""
    portal = Portal(now=clock)
    async with serve(portal.application()) as origin:
        await make(legacy(origin), store=FileStore(folder)).token()
        clock.move(hours=25)
        await make(legacy(origin), store=FileStore(folder)).token()
    assert methods(portal, "/auth/v1/tokens") == ["POST", "POST"]


async def test_a_token_that_was_loaded_late_is_renewed_as_if_it_had_been_here_all_along(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """Its last seconds are no time for an interval between two renewals."""
    await make(server.provider(), store=FileStore(folder)).token()
    clock.move(seconds=3590)
    source = make(server.provider(), store=FileStore(folder))
    token = await source.token()
    assert token.expires_at is not None
    assert token.expires_at - clock() > timedelta(minutes=50)


async def test_who_waited_for_a_token_has_used_it(
    make: Make, server: TokenServer, clock: Clock
) -> None:
    """So it is renewed in the background, also if nobody has come since."""
    source = make(server.provider())
    await source.token()
    await tended(source)  # it takes note of what it has kept itself
    clock.move(minutes=58)
    await tended(source)
    assert server.calls == {"sign-in": 1, "renewal": 1}


async def test_a_clock_that_is_set_teaches_no_lifetime(make: Make, clock: Clock) -> None:
    """What is learned is measured by the clock that nobody sets."""
    async with token_server(now=lambda: clock.seconds, tells_life=False) as server:
        source = make(server.provider())
        token = await source.token()
        clock.move(minutes=10)
        clock.jump(hours=5)
        await source.token(rejected=token)
        clock.move(minutes=9)
        await source.token()
        await source.settle()
        assert server.calls["renewal"] == 2


async def test_a_token_that_has_expired_was_not_forgotten(
    make: Make, server: TokenServer, clock: Clock
) -> None:
    """The memory store lets go of it by itself."""
    events: list[Event] = []
    source = make(server.provider(renews=False), events=events)
    await source.token()
    await tended(source)
    clock.move(hours=2)
    for _ in range(3):
        await tended(source)
    assert [type(event) for event in events[1:]] == [TokenExpired]


async def test_a_good_token_is_told_though_the_store_has_a_later_one_that_is_over(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    store = FileStore(folder)
    source = make(server.provider(), store=store)
    token = await source.token()
    assert source.entry is not None
    over = replace(token, expires_at=clock() - timedelta(seconds=1))
    fingerprint = store.fingerprint(material(server.provider(), "https://api.example.com"))
    await store.save("api", fingerprint, replace(source.entry, generation=2, token=over))
    await tended(source)
    assert await source.token() == token
    assert (await status_of(source)).state == "ready"


async def test_a_refused_renewal_is_told_by_who_only_has_the_store(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    provider = server.provider(renews=False)
    source = make(provider, store=FileStore(folder))
    await source.token()
    clock.move(hours=2)
    server.locked = True
    with pytest.raises(GrantRejected):
        await source.token()
    onlooker = make(provider, store=FileStore(folder))
    status = await status_of(onlooker)
    assert (status.state, status.problem) == ("blocked", "grant-rejected")
    assert status.attempts_left == LIMIT - 1
