"""sidekey in front of upstreams that misbehave, and what a client gets from them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol, TypeVar

from fault_proxy import FaultProxy, Faults, fault_proxy
from hostile_fixtures import Attack
from hostile_harness import Hostile
from raw_client import RawAnswer, RawClient, message
from raw_upstream import Conversation, Converse, conversing

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
QUICK = "timeouts: {connect: 200ms, read: 200ms}"


class Listening(Protocol):
    """Something that can stand where an upstream stands."""

    origin: str


L = TypeVar("L", bound=Listening)


@asynccontextmanager
async def facing(
    attack: Attack, upstream: AbstractAsyncContextManager[L], *, more: str = ""
) -> AsyncIterator[tuple[Hostile, L]]:
    """Serve with `upstream` behind the routes r, q and j; `more` are further lines of `r`.

    It ends before the oracles look, for which its own tasks would be stray ones.
    """
    async with AsyncExitStack() as stack:
        standing = await stack.enter_async_context(upstream)
        async with attack(origin=standing.origin, more={"r": more}) as hostile:
            yield hostile, standing
            await stack.aclose()


@asynccontextmanager
async def behind(faults: Faults, converse: Converse) -> AsyncIterator[FaultProxy]:
    """Serve `converse` behind a faulty network."""
    async with conversing(converse) as upstream, fault_proxy(upstream.origin, faults) as network:
        yield network


def saying(answer: bytes, *, stays: bool = True) -> Converse:
    """Return an upstream that gives `answer` to every request; it `stays`, or ends then."""

    async def converse(peer: Conversation) -> None:
        while True:
            await peer.request()
            await peer.send(answer)
            if not stays:
                return

    return converse


async def answer_of(
    upstream: Converse, attack: Attack, line: str = "GET /r/a", *fields: str, more: str = ""
) -> RawAnswer:
    """Return what a client gets; `more` are further lines of the route `r`."""
    async with facing(attack, conversing(upstream), more=more) as (hostile, _):
        return await hostile.ask(line, *fields)


async def send(client: RawClient, hostile: Hostile, line: str = "GET /r/a", *fields: str) -> None:
    """Send a request without content, or its head."""
    await client.send(message(line, *fields, host=hostile.proxy.host))
