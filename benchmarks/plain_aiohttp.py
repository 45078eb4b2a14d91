"""The proxy that one would write first: `python -m benchmarks.plain_aiohttp PORT UPSTREAM`."""

from __future__ import annotations

import os
import sys

import aiohttp
from aiohttp import web

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "host"}


async def forward(request: web.Request) -> web.StreamResponse:
    """Send the request on with the credential, and stream the answer back."""
    session: aiohttp.ClientSession = request.app["session"]
    headers = {
        name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP
    }
    headers["Authorization"] = os.environ["CREDENTIAL"]
    async with session.request(
        request.method,
        f"http://127.0.0.1:{sys.argv[2]}{request.raw_path}",
        headers=headers,
        data=request.content if request.can_read_body else None,
        allow_redirects=False,
    ) as answer:
        kept = {
            name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP
        }
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def application() -> web.Application:
    """Return the proxy, with one session that keeps its connections."""
    app = web.Application(client_max_size=2**40)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600)
    app["session"] = aiohttp.ClientSession(connector=connector, auto_decompress=False)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


if __name__ == "__main__":
    web.run_app(
        application(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        keepalive_timeout=600,
    )
