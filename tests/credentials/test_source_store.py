"""What a source keeps in the store, and what it makes of what others put there."""

from __future__ import annotations

from pathlib import Path

import pytest
from clocks import Clock
from sources import V1, V2, Make, legacy, methods, oauth2, tended

from proxy.credentials.entry import Entry
from proxy.credentials.providers import (
    MiAuth,
)
from proxy.credentials.secret import Secret
from proxy.credentials.source import Source
from proxy.credentials.stores.file import FileStore
from proxy.credentials.stores.memory import MemoryStore
from proxy.credentials.token import Token
from proxy.errors import (
    LoginRequired,
    StoreError,
)
from proxy.events import Event, TokenAcquired, TokenNotStored
from proxy.observe.status import status_of
from proxy.sandbox.portal import Portal


async def in_the_store(source: Source) -> Token | None:
    """What the next process will find."""
    entry = await source.peek()
    return None if entry is None else entry.token


async def test_a_restart_finds_the_token_in_the_store(
    make: Make, portal: tuple[Portal, str], tmp_path: Path
) -> None:
    first = await make(oauth2(portal[1]), store=FileStore(tmp_path)).token()
    again = await make(oauth2(portal[1]), store=FileStore(tmp_path)).token()
    assert again == first
    assert portal[0].calls[V2] == 1


async def test_an_edited_configuration_replaces_the_old_token_and_never_uses_it(
    make: Make, portal: tuple[Portal, str], tmp_path: Path
) -> None:
    await make(legacy(portal[1]), store=FileStore(tmp_path)).token()
    events: list[Event] = []
    source = make(oauth2(portal[1]), store=FileStore(tmp_path), events=events)
    token = await source.token()
    assert [type(event) for event in events] == [TokenAcquired]
    assert await in_the_store(source) == token
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
    await tended(running)
    assert (await running.token()).value.reveal() == "third"


async def test_a_logout_by_another_process_is_noticed(make: Make, tmp_path: Path) -> None:
    provider = MiAuth(type="miauth", server="http://127.0.0.1:9")
    running, other = (make(provider, store=FileStore(tmp_path)) for _ in range(2))
    await running.keep(Token(Secret("first")))
    assert await other.forget()
    await tended(running)
    with pytest.raises(LoginRequired):
        await running.token()


async def test_a_token_serves_from_memory_when_the_store_cannot_be_written(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    class ReadOnly(MemoryStore):
        async def save(self, name: str, fingerprint: str, entry: Entry) -> None:
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
    await tended(running)
    await running.token()
    assert await in_the_store(edited) == bought


async def test_a_store_that_fails_does_not_stop_the_watching(make: Make, clock: Clock) -> None:
    class Broken(MemoryStore):
        def version(self, name: str) -> object:
            raise StoreError("the folder is gone")

    make(MiAuth(type="miauth", server="http://127.0.0.1:9"), store=Broken(now=clock)).tend()


class Unreadable(MemoryStore):
    """A store that breaks when it is told to."""

    broken = False

    async def load(self, name: str, fingerprint: str) -> Entry | None:
        if self.broken:
            raise StoreError("the entry cannot be read")
        return await super().load(name, fingerprint)

    def version(self, name: str) -> object:
        return object() if self.broken else super().version(name)


async def test_a_token_that_can_be_bought_again_needs_no_store(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    store = Unreadable(now=clock)
    store.broken = True
    source = make(oauth2(portal[1]), store=store)
    first = await source.token()
    clock.move(hours=2)
    assert await source.token() != first


async def test_a_refresh_token_is_not_used_while_the_store_may_know_a_later_one(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    """Servers that see one twice end the whole session (RFC 9700 section 4.14)."""
    store = Unreadable(now=clock)
    source = make(legacy(portal[1]), store=store)
    first = await source.token()
    store.broken = True
    clock.move(minutes=59, seconds=40)
    assert await source.token() == first, "it serves on while it lives"
    clock.move(minutes=1)
    with pytest.raises(StoreError):
        await source.token()
    assert methods(portal[0], V1) == ["POST"]
    store.broken = False
    clock.move(minutes=1)
    assert await source.token() != first


async def test_a_token_that_could_not_be_stored_is_not_replaced_by_the_one_before(
    make: Make, portal: tuple[Portal, str], clock: Clock
) -> None:
    """The store still has the rejected one, which no failing endpoint brings back to life."""

    class Full(MemoryStore):
        full = False

        async def save(self, name: str, fingerprint: str, entry: Entry) -> None:
            if self.full:
                raise StoreError("the disk is full")
            await super().save(name, fingerprint, entry)

    store = Full(now=clock)
    source = make(oauth2(portal[1]), store=store)
    first = await source.token()
    store.full = True
    second = await source.token(rejected=first)
    portal[0].faults.fail_next(1000, 500)
    clock.move(minutes=59, seconds=30)
    assert await source.token() == second


async def test_a_login_of_another_project_survives_until_there_is_one_to_this(
    make: Make, tmp_path: Path
) -> None:
    """Two configurations may call an upstream alike."""
    ours, theirs = (
        make(
            MiAuth(type="miauth", server="http://127.0.0.1:9", name=name), store=FileStore(tmp_path)
        )
        for name in ("ours", "theirs")
    )
    await theirs.keep(Token(Secret("theirs")))
    with pytest.raises(LoginRequired):
        await ours.token()
    assert await in_the_store(theirs) == Token(Secret("theirs"))


async def test_a_rejection_is_final_for_the_next_process_too(make: Make, tmp_path: Path) -> None:
    """Surprise 11: nobody sends a dead token again, and a login brings it back to life."""
    provider = MiAuth(type="miauth", server="http://127.0.0.1:9")
    token = Token(Secret("dead"), outputs={"user": "@bob"})
    first, following, login = (make(provider, store=FileStore(tmp_path)) for _ in range(3))
    await first.keep(token)
    with pytest.raises(LoginRequired):
        await first.token(rejected=await first.token())
    with pytest.raises(LoginRequired, match="was rejected"):
        await following.token()
    status = await status_of(make(provider, store=FileStore(tmp_path)))
    assert (status.state, status.fix) == ("login-required", "sidekey login api")
    await login.keep(token)
    assert await following.token() == token


async def test_two_configurations_that_share_an_entry_do_not_fetch_in_turns(
    make: Make, portal: tuple[Portal, str], tmp_path: Path
) -> None:
    """Each goes on with its own token, whatever the other writes under the same name."""
    ours = make(oauth2(portal[1]), store=FileStore(tmp_path))
    theirs = make(legacy(portal[1]), store=FileStore(tmp_path))
    for _ in range(10):
        for source in (ours, theirs):
            await source.token()
            await tended(source)
    assert (portal[0].calls[V2], portal[0].calls[V1]) == (1, 1)
    rejected = await ours.token()
    await theirs.keep(await theirs.token())
    await tended(ours)
    assert await ours.token(rejected=await ours.token()) != rejected
