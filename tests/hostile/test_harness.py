"""The oracles of the hostile cases can fail, each for what it is there for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from hostile_fixtures import Attack
from hostile_harness import Hostile
from raw_client import raw_client

STRAY: list[asyncio.Task[None]] = []


async def test_every_route_reaches_its_upstream_with_its_credential(hostile: Hostile) -> None:
    json = "Content-Type: application/json"
    assert (await hostile.ask("GET /r/a")).status == 200
    assert (await hostile.ask("GET /q/a?x=1")).status == 200
    assert (await hostile.ask("POST /j/a", json, content=b'{"x":1}')).status == 200
    assert (await hostile.ask("GET /t/a")).status == 200
    assert [request.target.partition("key=")[0] for request in hostile.arrived] == [
        "/base/v1/a",
        "/base/query/a?x=1&",
        "/base/json/a",
        "/base/v1/a",
    ]
    assert len(hostile.canaries.tokens) == 1


async def spoil_target(hostile: Hostile) -> None:
    await hostile.ask("GET /r/a")
    hostile.upstream.last.target = "/base/v1/%2e%2e/admin"


async def spoil_credential(hostile: Hostile) -> None:
    await hostile.ask("GET /r/a")
    hostile.upstream.last.fields.append(("Authorization", "Bearer dummy"))


async def spoil_fields(hostile: Hostile) -> None:
    await hostile.ask("GET /r/a")
    hostile.upstream.last.fields.append(("Cookie", "a=b"))


async def spoil_framing(hostile: Hostile) -> None:
    port = int(hostile.upstream.origin.rpartition(":")[2])
    async with raw_client(port) as client:
        await client.send(b"GET / HTTP/1.1\nHost : x\n\n")
        await asyncio.sleep(0.05)


async def spoil_token_endpoint(hostile: Hostile) -> None:
    port = int(hostile.issuer.origin.rpartition(":")[2])
    async with raw_client(port) as client:
        await client.send(b"POST /base/v1/oauth/token HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.answer()


async def spoil_answer(hostile: Hostile) -> None:
    hostile.received.extend(hostile.canaries.json_key.encode())


async def spoil_log(hostile: Hostile) -> None:
    hostile.log.lines.write(hostile.canaries.client_id)


async def spoil_records(hostile: Hostile) -> None:
    hostile.log.records.append(hostile.canaries.client_key)


async def spoil_state(hostile: Hostile) -> None:
    hostile.state.mkdir(exist_ok=True)
    (hostile.state / "x").write_text(hostile.canaries.client_secret)


async def spoil_tasks(hostile: Hostile) -> None:
    STRAY.append(asyncio.create_task(asyncio.sleep(60)))


async def spoil_loop(hostile: Hostile) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "never retrieved"})


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_target,
        spoil_credential,
        spoil_fields,
        spoil_framing,
        spoil_token_endpoint,
        spoil_answer,
        spoil_log,
        spoil_records,
        spoil_state,
        spoil_tasks,
        spoil_loop,
    ],
)
async def test_an_oracle_fails_for_what_it_watches(
    attack: Attack, spoil: Callable[[Hostile], Awaitable[None]]
) -> None:
    with pytest.raises(AssertionError):
        async with attack() as hostile:
            await spoil(hostile)
    while STRAY:
        STRAY.pop().cancel()


async def test_all_that_is_logged_at_debug_level_is_watched(hostile: Hostile) -> None:
    logging.getLogger("aiohttp.access").debug("a detail")
    await hostile.ask("GET /nope")
    assert "a detail" in hostile.log.text
    assert '"event": "request.refused"' in hostile.log.text
    assert any("a detail" in record for record in hostile.log.records)
