"""What single checks of one request cost, called again and again within one process."""

from __future__ import annotations

import asyncio
import statistics
import time
import timeit
from collections.abc import Callable

from aiohttp import ClientSession, web

from benchmarks.client import HEAD
from proxy.config.models import Listen
from proxy.gateway.clients import Clients
from proxy.gateway.fields import request_fields, response_fields
from proxy.gateway.guard import LOOPBACK_NAMES, Guard, Listener
from proxy.gateway.target import check_path, parse

TARGET = "/api/v1/prices/daily_quotes?code=86970&from=20260101&to=20260331"
PATH = TARGET.partition("?")[0]
CALLS = 5_000
REPEATS = 7


async def measure() -> dict[str, float]:
    """Return microseconds of processor time by check, for a request over a real socket."""
    measured: dict[str, float] = {}

    async def answer(request: web.BaseRequest) -> web.Response:
        own = request.transport.get_extra_info("sockname") if request.transport else ("", 0)
        listener = Listener(own[1], frozenset(LOOPBACK_NAMES), served=("api",))
        guard = Guard(listener, Listen(), Clients(None))
        measured.update(_measured(guard, request))
        return web.Response()

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with ClientSession(headers=_fields()) as session:
            await (await session.get(f"http://127.0.0.1:{runner.addresses[0][1]}{TARGET}")).read()
    finally:
        await runner.cleanup()
    return measured


def _fields() -> dict[str, str]:
    """Return the fields that the load's client sends too."""
    lines = HEAD.format(path="", port=0).split("\r\n")[2:-2]
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _measured(guard: Guard, request: web.BaseRequest) -> dict[str, float]:
    headers = request.headers
    dropped = {"keep_credentials": False, "keep_cookies": False}
    checks: dict[str, Callable[[], object]] = {
        "Guard.check": lambda: guard.check(request),
        "target.parse": lambda: parse(TARGET),
        "target.check_path": lambda: check_path(PATH),
        "fields.request_fields": lambda: request_fields(headers, **dropped),
        "fields.response_fields": lambda: response_fields(headers, keep_cookies=False),
    }
    return {name: _microseconds(check) for name, check in checks.items()}


def _microseconds(check: Callable[[], object]) -> float:
    rounds = timeit.repeat(check, timer=time.process_time, number=CALLS, repeat=REPEATS)
    return statistics.median(rounds) / CALLS * 1e6


def main() -> None:
    """Print the microseconds of each check."""
    print(f"\n{'check':<26}{'us per call':>12}")
    for name, microseconds in asyncio.run(measure()).items():
        print(f"{name:<26}{microseconds:>12.1f}")


if __name__ == "__main__":
    main()
