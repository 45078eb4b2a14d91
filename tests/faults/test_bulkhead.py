"""One upstream that hangs is nobody else's trouble."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from fault_proxy import Faults, fault_proxy
from faulty import facing, send
from hostile_fixtures import Attack
from raw_client import check_problem

HANGING = 200


@pytest.mark.case("D07")
@pytest.mark.parametrize(
    "faults", [Faults(black_hole=True), Faults(reads=False)], ids=["black hole", "never reads"]
)
async def test_200_requests_that_hang_at_one_upstream_hold_up_no_other(
    attack: Attack, many_sockets: None, faults: Faults
) -> None:
    async with (
        facing(attack, fault_proxy(faults=faults)) as (hostile, network),
        AsyncExitStack() as stack,
    ):
        for _ in range(HANGING):
            client = await stack.enter_async_context(hostile.connect())
            await send(client, hostile)
        await network.has_connections(HANGING)
        for _ in range(20):
            assert (await hostile.ask("GET /control/a")).content == b"ok"
            assert (await hostile.ask("GET /t/a")).content == b"ok"


@pytest.mark.case("D07")
async def test_a_limit_keeps_the_requests_that_hang_few(attack: Attack) -> None:
    """The others get an answer at once, and the client that leaves makes room."""
    more = "limits: {concurrency: 5}"
    async with facing(attack, fault_proxy(faults=Faults(black_hole=True)), more=more) as (
        hostile,
        network,
    ):
        async with AsyncExitStack() as stack:
            for _ in range(5):
                client = await stack.enter_async_context(hostile.connect())
                await send(client, hostile)
            await network.has_connections(5)
            check_problem(await hostile.ask("GET /r/a"), 503, "too-many-requests")
            assert (await hostile.ask("GET /control/a")).content == b"ok"
        assert network.connections == 5
