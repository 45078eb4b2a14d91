"""A program, or a page of ours, that asks a running proxy about itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from proxying import Sidekey
from raw_client import RawAnswer, RawClient, ask, message, raw_client

JSON = "Content-Type: application/json"


async def told(proxy: Sidekey, path: str, *fields: str) -> Any:
    """Return the JSON that the API answers at `path`."""
    answer = await ask(proxy, f"GET /_sidekey/api/{path}", *fields)
    assert answer.status == 200, answer.content
    return answer.json()


async def do(
    proxy: Sidekey, path: str, members: Any = None, *fields: str, token: str | None = None
) -> RawAnswer:
    """Have the API do something, with its token unless another one is given."""
    known = token if token is not None else (await told(proxy, "overview", *fields))["token"]
    content = b"" if members is None else json.dumps(members).encode()
    shown = (f"Sidekey-Token: {known}",) if known else ()
    line = f"POST /_sidekey/api/{path}"
    length = () if content else ("Content-Length: 0",)
    return await ask(proxy, line, JSON, *shown, *length, *fields, content=content)


class Viewer:
    """Somebody who reads the stream."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._text = ""

    async def event(self, name: str) -> Any:
        """Wait for the next event of that name."""
        while True:
            found, text = await self._next()
            if found == name:
                return json.loads(text)

    async def _next(self) -> tuple[str, str]:
        while "\n\n" not in self._text:
            self._text += (await self._client.chunk()).decode()
        block, _, self._text = self._text.partition("\n\n")
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        return lines.get("event", ""), lines.get("data", "")


@asynccontextmanager
async def viewing(proxy: Sidekey, query: str = "") -> AsyncIterator[Viewer]:
    """Read the stream until the block ends."""
    async with raw_client(proxy.place) as client:
        await client.send(message(f"GET /_sidekey/api/stream{query}", host=proxy.host))
        head = RawAnswer(await client.head(), b"", ended=True)
        assert (head.status, head.field("Content-Type")) == (200, ["text/event-stream"])
        yield Viewer(client)
