"""A real proxy whose clock is set while it runs, by libfaketime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from command_line import Home, Started
from token_server import TokenServer, token_server

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

pytestmark = [
    pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed"),
    pytest.mark.case("T18"),
]


class FakedTime:
    """The wall time of a process, or all its clocks, as an offset in a file that it reads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set("+0")

    def set(self, offset: str) -> None:
        """Set it to so much ahead of the real time: `set("+2h")`, `set("-1d")`."""
        self._file.write_text(offset)

    def environ(self, *, all_clocks: bool) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "0" if all_clocks else "1",
        }


@asynccontextmanager
async def serving(
    home: Home, server: TokenServer, *, all_clocks: bool
) -> AsyncIterator[tuple[Started, FakedTime]]:
    home.configure(f"listen: {{port: 0}}\nupstreams:\n  {server.upstreams('r')}\n")
    faked = FakedTime(home.folder / "faketime")
    async with home.serving(**faked.environ(all_clocks=all_clocks)) as proxy:
        yield proxy, faked


async def ask(home: Home, proxy: Started) -> bool:
    return "200 OK" in (await home.shell(f"curl -si {await proxy.address()}/r/a")).out


@pytest.mark.parametrize(("offset", "seconds"), [("+2h", 7200), ("+1d", 86400), ("-1d", -86400)])
async def test_a_wall_clock_that_is_set_is_told_and_costs_one_renewal_at_most(
    home: Home, offset: str, seconds: float
) -> None:
    async with (
        token_server() as server,
        serving(home, server, all_clocks=False) as (proxy, faked),
    ):
        assert await ask(home, proxy)
        faked.set(offset)
        told = await proxy.event("clock.jumped")
        assert abs(told["seconds"] - seconds) < 5
        for _ in range(20):
            assert await ask(home, proxy)
        await asyncio.sleep(2.5)
        for _ in range(20):
            assert await ask(home, proxy)
        ended = await proxy.stopped()
    assert server.calls["sign-in"] == 1
    assert server.calls["renewal"] <= (1 if seconds > 0 else 0)
    assert server.calls["reuse"] == 0
    assert "Traceback" not in ended.err


async def test_a_laptop_that_slept_renews_before_the_first_request_is_sent(home: Home) -> None:
    """All clocks have gone on, those too that nobody can set."""
    ahead = 0.0
    async with (
        token_server(now=lambda: asyncio.get_running_loop().time() + ahead) as server,
        serving(home, server, all_clocks=True) as (proxy, faked),
    ):
        assert await ask(home, proxy)
        faked.set("+8h")
        ahead = 8 * 3600.0
        for _ in range(10):
            assert await ask(home, proxy)
    assert server.calls == {"sign-in": 1, "renewal": 1}
    assert sum(server.served.values()) == 11
    assert server.rejected == 0, "an expired token was sent"
