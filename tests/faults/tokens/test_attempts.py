"""Wrong passwords: an account is never locked by us, however often we are started."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from clocks import Clock
from command_line import Home, until
from processes import Program, program
from proxying import BEGINNING, sidekey
from raw_client import ask
from raw_upstream import answering, response
from sources import Make, cut_off
from token_server import CUT_BEFORE, HANG, TokenServer, token_server

from proxy.credentials.attempts import LIMIT, Attempt, Attempts
from proxy.credentials.providers import JQuants
from proxy.credentials.secret import Secret
from proxy.credentials.stores import private_file
from proxy.credentials.stores.file import FileStore
from proxy.errors import (
    AttemptsUsedUp,
    GrantRejected,
    LoginRequired,
    SidekeyError,
    StoreError,
    TokenEndpointUnreachable,
)

WRONG = "canary-wrong-password"


@pytest.mark.case("T11")
async def test_a_wrong_password_is_tried_three_times_an_hour_across_50_restarts(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    for restart in range(50):
        source = make(server.provider(WRONG), store=FileStore(folder))
        with pytest.raises(GrantRejected, match="invalid_grant"):
            await source.token()
        assert server.calls["refused"] == min(restart + 1, LIMIT)
        clock.move(seconds=30)


@pytest.mark.case("T11")
async def test_it_is_tried_again_when_the_first_of_three_is_an_hour_old(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    made: list[float] = []
    for _ in range(300):
        with pytest.raises(GrantRejected):
            await make(server.provider(WRONG), store=FileStore(folder)).token()
        made += [clock.seconds] * (server.calls["refused"] - len(made))
        clock.move(minutes=1)
    assert len(made) == 5 * LIMIT
    for first, fourth in zip(made, made[LIMIT:], strict=False):
        assert fourth - first >= 3600


async def test_what_is_said_meanwhile_names_the_refusal_and_the_next_try(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    for _ in range(LIMIT):
        with pytest.raises(GrantRejected):
            await make(server.provider(WRONG), store=FileStore(folder)).token()
        clock.move(minutes=1)
    with pytest.raises(AttemptsUsedUp) as caught:
        await make(server.provider(WRONG), store=FileStore(folder)).token()
    assert "invalid_grant" in caught.value.detail
    assert "3 attempts within an hour, the next after 10:00 UTC" in caught.value.detail
    assert caught.value.retry_after == 57 * 60
    assert caught.value.fix is not None
    assert "sidekey refresh api" in caught.value.fix
    assert WRONG not in f"{caught.value.detail} {caught.value.fix}"


@pytest.mark.case("T11")
async def test_upstreams_with_the_same_credential_share_its_three_attempts(
    make: Make, server: TokenServer, folder: Path
) -> None:
    sources = [
        make(server.provider(WRONG), name=f"api-{number}", store=FileStore(folder))
        for number in range(8)
    ]
    results = await asyncio.gather(*(one.token() for one in sources), return_exceptions=True)
    assert all(isinstance(result, GrantRejected) for result in results)
    assert server.calls["refused"] == LIMIT


async def test_another_password_is_another_credential(
    make: Make, server: TokenServer, folder: Path
) -> None:
    for _ in range(LIMIT + 1):
        with pytest.raises(GrantRejected):
            await make(server.provider(WRONG), store=FileStore(folder)).token()
    assert (await make(server.provider(), store=FileStore(folder)).token()).value


async def test_a_success_forgets_the_refusals_before_it(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    server.locked = True
    for _ in range(LIMIT - 1):
        with pytest.raises(GrantRejected):
            await make(server.provider(), store=FileStore(folder)).token()
    server.locked = False
    source = make(server.provider(), store=FileStore(folder))
    assert (await source.token()).value
    assert await source.attempts() == Attempts()


async def test_what_blames_nobody_is_no_attempt(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    for fault in [response("503 Busy"), CUT_BEFORE, response("200 OK", b"<html>")] * 3:
        server.faults = [fault]
        with pytest.raises(TokenEndpointUnreachable):
            await make(server.provider(), store=FileStore(folder)).token()
    assert (await make(server.provider(), store=FileStore(folder)).token()).value


async def asked(server: TokenServer, times: int) -> None:
    await until(lambda: server.asked >= times)


@pytest.mark.case("T11")
async def test_an_attempt_whose_process_was_killed_over_it_counts(
    make: Make, server: TokenServer, folder: Path
) -> None:
    """A server has counted it too."""
    server.fault = lambda: HANG
    for attempt in range(1, LIMIT + 1):
        source = make(server.provider(WRONG), store=FileStore(folder))
        waiting = asyncio.create_task(source.token())
        await asked(server, attempt)
        cut_off(source)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    with pytest.raises(AttemptsUsedUp, match="never answered"):
        await make(server.provider(WRONG), store=FileStore(folder)).token()
    assert server.asked == LIMIT


async def test_what_was_stopped_in_order_counts_for_nothing(
    make: Make, server: TokenServer, folder: Path
) -> None:
    """A container that is restarted while a token endpoint hangs must not be blocked by that."""
    server.fault = lambda: HANG
    for attempt in range(1, LIMIT + 2):
        source = make(server.provider(), store=FileStore(folder))
        waiting = asyncio.create_task(source.token())
        await asked(server, attempt)
        await source.close(grace=0.05)
        await asyncio.gather(waiting, return_exceptions=True)
    server.fault = lambda: None
    assert server.is_good(await make(server.provider(), store=FileStore(folder)).token())


async def test_what_leaves_the_credential_as_it_is_brings_no_new_attempts(
    make: Make, server: TokenServer, folder: Path
) -> None:
    """Such as how long its tokens are taken for good."""
    for hours in range(1, LIMIT + 3):
        told = {"lifetime": timedelta(hours=hours)}
        provider = server.provider(WRONG).model_copy(update=told)
        with pytest.raises(GrantRejected):
            await make(provider, store=FileStore(folder)).token()
    assert server.calls["refused"] == LIMIT


async def test_a_refresh_token_that_only_a_human_can_replace_locks_no_account(
    make: Make, folder: Path
) -> None:
    """What is said stays what helps: where to get the next one."""
    async with answering(response("400 Bad Request", b"{}")) as upstream:
        provider = JQuants(
            type="jquants", refresh_token=Secret("canary-pasted"), base_url=upstream.origin
        )
        for _ in range(LIMIT + 1):
            with pytest.raises(LoginRequired) as caught:
                await make(provider, store=FileStore(folder)).token()
    assert "copy a new refresh token" in str(caught.value.fix)


async def test_where_the_store_can_only_be_read_upstreams_of_one_process_count_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _content: bytes) -> None:
        raise StoreError("no space left on device")

    monkeypatch.setattr(private_file, "replace", full)
    beginning = f"listen: {{port: 0}}\nstore: {{path: {tmp_path}/state}}\n"
    async with token_server() as server:
        names = [f"r{number}" for number in range(LIMIT + 2)]
        upstreams = [server.upstreams(name, password=WRONG, renews=False) for name in names]
        async with sidekey(tmp_path, "\n".join(upstreams), beginning=beginning) as proxy:
            for name in names:
                assert (await ask(proxy, f"GET /{name}/a")).status == 502
    assert server.calls["refused"] == LIMIT


async def test_attempts_that_the_store_did_not_take_count_with_those_of_others(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """A disk that is full for a moment is no reason to forget what others do ten hours later."""
    store, provider = FileStore(folder), server.provider(WRONG, renews=False)
    source = make(provider, store=store)

    def full(_path: Path, _content: bytes) -> None:
        raise StoreError("no space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_file, "replace", full)
        with pytest.raises(GrantRejected):
            await source.token()
    clock.move(hours=10)
    for _ in range(LIMIT - 1):
        with pytest.raises(GrantRejected):
            await make(provider, store=store).token()
        clock.move(seconds=1)
    for _ in range(3):
        with pytest.raises(GrantRejected):
            await source.token()
        clock.move(minutes=1)
        source._backoff.reset()
    assert server.calls["refused"] == 1 + LIMIT


async def test_successes_that_the_store_did_not_hear_of_do_not_count(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """It has taken what had begun, and not how it ended."""
    source = make(server.provider(renews=False), store=FileStore(folder))

    def broken(_path: Path) -> bool:
        raise StoreError("input/output error")

    server.life = 600.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_file, "remove", broken)  # how attempts are cleared
        for _ in range(LIMIT + 2):
            assert server.is_good(await source.token())
            clock.move(minutes=11)
    assert server.calls == {"sign-in": LIMIT + 2}


async def test_who_stood_still_does_not_undo_what_others_have_counted_meanwhile(
    folder: Path,
) -> None:
    async with token_server() as server, AsyncExitStack() as stack:
        shape = json.dumps(server.shape(WRONG, renews=False))

        async def started() -> Program:
            one = await stack.enter_async_context(program("ask", folder, shape, "1.0"))
            assert await one.line() == "ready"
            return one

        sleeper = await started()
        server.faults = [0.5]
        sleeper.say("1000")
        await asked(server, 1)
        sleeper.signal(signal.SIGSTOP)
        for second in range(1001, 1005):
            await (await started()).asked(str(second))
        sleeper.signal(signal.SIGCONT)
        await sleeper.line()
        for second in range(1010, 1014):
            await (await started()).asked(str(second))
    assert server.calls["refused"] == LIMIT


async def test_where_the_store_cannot_be_written_this_process_counts(
    make: Make, server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    source = make(server.provider(WRONG, renews=False), store=FileStore(tmp_path / "file"))
    for _ in range(300):
        with pytest.raises(SidekeyError):
            await source.token()
        clock.move(minutes=1)
    assert server.calls["refused"] <= 5 * LIMIT


def test_an_attempt_that_a_wrong_clock_noted_in_the_future_counts_no_more(clock: Clock) -> None:
    clock.jump(days=300)
    noted = Attempts((Attempt(clock(), 0, "refused", "no"),) * LIMIT)
    assert noted.recent(clock()).left == 0
    clock.jump(days=-300)
    assert noted.recent(clock()).left == LIMIT


CONFIG = "listen: {{port: 0}}\nupstreams:\n  {upstreams}\n"


@pytest.mark.case("T11")
async def test_50_real_starts_with_a_wrong_password_are_three_attempts(home: Home) -> None:
    """Half of them end by SIGKILL, as in a container that is restarted again and again."""
    async with token_server() as server:
        home.configure(CONFIG.format(upstreams=server.upstreams("r", password=WRONG)))
        for batch in range(10):
            async with asyncio.TaskGroup() as group:
                for number in range(5):
                    group.create_task(_ask_once(home, killed=(batch + number) % 2 == 0))
        status = await home.run("status", "--json")
    assert server.calls["refused"] == LIMIT
    [row] = json.loads(status.out)["upstreams"]
    assert (row["state"], row["attempts_left"]) == ("blocked", 0)
    assert "invalid_grant" in row["error"]
    assert status.code == 1
    assert WRONG not in status.said


async def _ask_once(home: Home, *, killed: bool) -> None:
    async with home.serving() as proxy:
        said = await home.shell(f"curl -s {await proxy.address()}/r/a")
        assert '"status": 502' in said.out, said.said
        if killed:
            with suppress(ProcessLookupError):
                proxy.process.send_signal(signal.SIGKILL)
        else:
            await proxy.stopped()


async def test_refresh_tries_at_once_what_was_refused_too_often(home: Home) -> None:
    async with token_server(locked=True) as server:
        home.configure(CONFIG.format(upstreams=server.upstreams("r")))
        for _ in range(LIMIT + 2):
            assert (await home.run("token", "r")).code == 1
        assert server.asked == LIMIT
        server.locked = False
        blocked = await home.run("token", "r")
        refreshed = await home.run("refresh", "r")
        token = await home.run("token", "r")
    assert (blocked.code, refreshed.code, token.code) == (1, 0, 0)
    assert "sidekey refresh r" in blocked.err
    assert "r: has a new token until" in refreshed.err
    assert server.calls["sign-in"] == 1


async def test_a_refused_credential_costs_one_call_in_a_running_proxy(tmp_path: Path) -> None:
    async with (
        token_server() as server,
        sidekey(tmp_path, server.upstreams("r", password=WRONG), beginning=BEGINNING) as proxy,
    ):
        answers = [await ask(proxy, "GET /r/a") for _ in range(20)]
        [status] = (await ask(proxy, "GET /_sidekey/status")).json()["upstreams"]
    assert {(a.status, a.field("Sidekey-Error")[0]) for a in answers} == {(502, "grant-rejected")}
    assert server.calls["refused"] == 1
    assert (status["state"], status["attempts_left"]) == ("blocked", 2)
