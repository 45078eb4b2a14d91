"""Websocket echoes, to time round trips.

python -m benchmarks.round_trips serve PORT
python -m benchmarks.round_trips ask URL CONNECTIONS SECONDS    prints a line of JSON
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time

import aiohttp
from aiohttp import WSMsgType, web

TEXT = "x" * 100
PAUSE = 0.2  # seconds until what is measured begins


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Send every text back."""
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


def serve(port: int) -> None:
    application = web.Application()
    application.router.add_get("/{path:.*}", echo)
    web.run_app(application, host="127.0.0.1", port=port, print=None, access_log=None)


async def ask(url: str, connections: int, seconds: float) -> None:
    """Wait for each echo before the next text, on every connection at once."""
    spans: list[float] = []
    begin = time.perf_counter() + PAUSE
    end = begin + seconds

    async def talk(session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(url, compress=0) as socket:
            while (asked := time.perf_counter()) < end:
                await socket.send_str(TEXT)
                await socket.receive()
                if asked >= begin:
                    spans.append(time.perf_counter() - asked)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(talk(session) for _ in range(connections)))
    spans.sort()
    found = {
        "requests": len(spans),
        "figure": len(spans) / seconds,
        "median": statistics.median(spans) * 1e6,
        "p99": spans[len(spans) * 99 // 100] * 1e6,
        "failed": 0,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        asyncio.run(ask(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
