"""sidekey's own pages under `/_sidekey/`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from proxy.credentials.source import Source
from proxy.errors import SidekeyError
from proxy.gateway.problems import PROTECTION
from proxy.observe.status import SERVING, Status, as_json, status_of

Page = Callable[[bool], Awaitable[web.Response]]  # told whether the caller is known


def own_pages(
    sources: Mapping[str, Source], refusal: Callable[[], SidekeyError]
) -> dict[str, Page]:
    """Return the pages by their path below the prefix; `refusal` is for callers nobody knows.

    `sources` may change later.
    """

    async def statuses() -> list[Status]:
        return await asyncio.gather(*map(status_of, tuple(sources.values())))

    async def healthz(_known: bool) -> web.Response:
        return _answer('{"status": "ok"}\n')

    async def readyz(known: bool) -> web.Response:
        """Say whether any upstream can serve: one that waits for a login stops no other."""
        said = await statuses()
        ready = any(status.state in SERVING for status in said)
        details = {"upstreams": [status.members() for status in said]} if known else {}
        text = json.dumps({"ready": ready, **details}, ensure_ascii=False) + "\n"
        return _answer(text, 200 if ready else 503)

    async def status(known: bool) -> web.Response:
        if not known:
            raise refusal()
        return _answer(as_json(await statuses()))

    return {"/healthz": healthz, "/readyz": readyz, "/status": status}


def _answer(text: str, status: int = 200) -> web.Response:
    return web.Response(
        status=status, text=text, headers=PROTECTION, content_type="application/json"
    )
