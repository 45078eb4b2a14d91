"""The upstream says that the token is no longer good."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from gateway_samples import KEY, keyed, tokened
from issuing import Issuer, to_the_api
from proxying import Sidekey, sidekey
from raw_client import ask, chunked, message, raw_client
from raw_upstream import (
    OK,
    Conversation,
    RawRequest,
    answering,
    conversing,
    json_response,
    response,
)

from proxy.events import RequestForwarded, TokenRejected
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

JSON = "Content-Type: application/json"
BODY_RULE = 'inject:\n- {in: header, name: Authorization, format: "Bearer {token}"}\n'


async def test_a_client_that_leaves_during_the_renewal_holds_no_connection(tmp_path: Path) -> None:
    """Neither does it hold one whose rejection has not ended."""
    left = asyncio.Event()
    renewing = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        request = await peer.request()
        if request.target == "/oauth/token":
            if upstream.connections > 2:
                renewing.set()
                await asyncio.Event().wait()
            await peer.send(json_response("200 OK", b'{"access_token": "token-of-an-hour"}'))
            return
        await peer.send(b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n")
        await peer.reader.read()
        left.set()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        async with raw_client(proxy.port) as client:
            await client.send(message("GET /r/a", host=proxy.host))
            await renewing.wait()
        await left.wait()


@pytest.mark.parametrize(
    ("line", "fields", "content"),
    [
        ("GET /r/a%20b?x=%7E&y", (), b""),
        ("DELETE /r/a", (), b""),
        ("POST /r/a", (), b""),
        ("POST /r/a", (JSON,), b'{"n": 1.10}'),
        ("PUT /r/a", ("X-A: 1", "X-A: 2"), bytes(range(256)) * 900),
        ("POST /r/a", ("Transfer-Encoding: chunked",), chunked(b"ab", b"cd" * 5000)),
    ],
)
async def test_a_rejected_request_is_sent_once_more_with_the_same_bytes(
    tmp_path: Path, line: str, fields: tuple[str, ...], content: bytes
) -> None:
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/first")
        issuer.revoke()
        answer = await ask(proxy, line, *fields, content=content)
        assert (answer.status, answer.content) == (200, b"ok")
        assert answer.field("Sidekey-Error") == []
        assert [event.replayed for event in proxy.told(RequestForwarded)] == [False, True]
    first, second = to_the_api(upstream.requests)[1:]
    assert first.head.replace(b"token-1", b"token-2") == second.head
    assert first.content == second.content
    assert issuer.issued == 2


async def test_injected_json_is_replayed_with_the_fresh_token_and_only_that(
    tmp_path: Path,
) -> None:
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        sidekey(
            tmp_path,
            tokened(upstream.origin, upstream.origin, more=BODY_RULE + "- {in: body, name: i}"),
        ) as proxy,
    ):
        await ask(proxy, "POST /r/a", JSON, content=b'{"n": 1.10}')
        issuer.revoke()
        assert (await ask(proxy, "POST /r/a", JSON, content=b'{"n": 1.10}')).status == 200
    assert [request.content for request in to_the_api(upstream.requests)] == [
        b'{"i":"canary-token-1","n": 1.10}',
        b'{"i":"canary-token-1","n": 1.10}',
        b'{"i":"canary-token-2","n": 1.10}',
    ]


async def test_a_large_upload_is_not_replayed_but_its_rejection_renews(tmp_path: Path) -> None:
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/first")
        issuer.revoke()
        answer = await ask(proxy, "POST /r/a", content=b"x" * 2**20)
        assert answer.status == 401
        assert answer.field("Sidekey-Error") == ["credential-rejected"]
        assert answer.field("WWW-Authenticate") == ["Bearer"]
        assert answer.json() == {"message": "no"}
        assert (await ask(proxy, "POST /r/a", content=b"x" * 2**20)).status == 200
    assert len(to_the_api(upstream.requests)) == 3
    assert issuer.issued == 2


async def gather_statuses(proxy: Sidekey, count: int) -> list[int]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one() -> int:
            async with session.get(proxy.url("r", "/a")) as answer:
                await answer.read()
                return answer.status

        return await asyncio.gather(*(one() for _ in range(count)))


async def test_500_parallel_rejections_make_one_renewal(tmp_path: Path, many_sockets: None) -> None:
    """All of them are under way with the old token before the first one is rejected."""
    issuer = Issuer()
    waiting: list[RawRequest] = []
    all_here = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        while True:
            request = await peer.request()
            if request.field("Authorization") == ["Bearer canary-token-1"] and not issuer.good:
                waiting.append(request)
                if len(waiting) == 500:
                    all_here.set()
                await all_here.wait()
            await peer.send(issuer(request))

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/first")
        issuer.revoke()
        assert await gather_statuses(proxy, 500) == [200] * 500
        assert len(proxy.told(TokenRejected)) == 1
    assert issuer.issued == 2


async def test_a_late_rejection_of_an_old_token_renews_nothing(tmp_path: Path) -> None:
    """Surprise 10: what counts is the token that failed, not that something failed."""
    issuer = Issuer()
    slow_is_here, may_answer = asyncio.Event(), asyncio.Event()

    async def converse(peer: Conversation) -> None:
        while True:
            request = await peer.request()
            if request.target == "/slow" and not slow_is_here.is_set():
                slow_is_here.set()
                await may_answer.wait()
            await peer.send(issuer(request))

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        slow = asyncio.create_task(ask(proxy, "GET /r/slow"))
        await slow_is_here.wait()
        issuer.revoke()
        assert (await ask(proxy, "GET /r/quick")).status == 200
        assert issuer.issued == 2
        may_answer.set()
        assert (await slow).status == 200
        assert len(proxy.told(TokenRejected)) == 1
    assert issuer.issued == 2


async def test_a_rejection_before_the_upload_has_ended_replays_all_of_it(tmp_path: Path) -> None:
    issuer = Issuer()
    rejected = asyncio.Event()
    received: list[bytes] = []

    async def converse(peer: Conversation) -> None:
        while True:
            head = await peer.head()
            if head.target == "/up" and not rejected.is_set():
                await peer.reader.readexactly(3)
                await peer.send(response("401 Unauthorized", b"", "Connection: close"))
                rejected.set()
                return
            content = await peer.content(head)
            if head.target == "/up":
                received.append(content)
            await peer.send(issuer(head))

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        host = f"127.0.0.1:{proxy.port}"
        await client.send(message("POST /r/up", "Content-Length: 6", content=b"abc", host=host))
        await rejected.wait()
        await client.send(b"def")
        assert (await client.answer()).status == 200
    assert received == [b"abcdef"]


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_content_that_outgrows_the_memory_while_the_token_is_renewed_is_not_replayed(
    tmp_path: Path, framing: str
) -> None:
    """The first sending goes on meanwhile; what it has sent must not be missing in a second one."""
    rejected, token_asked, all_received = asyncio.Event(), asyncio.Event(), asyncio.Event()
    uploads: list[int] = []
    issuer = Issuer()
    size = 512 * 1024

    async def converse(peer: Conversation) -> None:
        while True:
            head = await peer.head()
            if head.target == "/oauth/token":
                await peer.content(head)
                if issuer.issued:
                    token_asked.set()
                    await all_received.wait()
                await peer.send(issuer(head))
                continue
            if head.target != "/up":
                await peer.send(OK)
                continue
            uploads.append(0)
            if len(uploads) == 1:
                await peer.send(response("401 Unauthorized", b"no").removesuffix(b"no"))
                rejected.set()
            while chunk := await peer.reader.read(65536):
                uploads[-1] += len(chunk)
                if uploads[-1] >= size and not all_received.is_set():
                    all_received.set()
                    await peer.send(b"no")

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        await ask(proxy, "GET /r/first")
        host = f"127.0.0.1:{proxy.port}"
        content = b"x" * size
        field = "Transfer-Encoding: chunked"
        if framing == "length":
            field = f"Content-Length: {size}"
        await client.send(message("POST /r/up", field, host=host))
        if framing == "chunks":
            content = chunked(content)
        await client.send(content[:10])
        await rejected.wait()
        await token_asked.wait()
        await client.send(content[10:])
        answer = await client.answer()
        assert (answer.status, answer.content) == (401, b"no")
        assert answer.field("Sidekey-Error") == ["credential-rejected"]
    assert len(uploads) == 1


async def test_the_secondary_key_takes_over_in_the_same_request_and_is_remembered(
    tmp_path: Path,
) -> None:
    """Surprise 7."""
    portal = Portal()
    portal.revoke_key("primary")
    async with serve(portal.application()) as origin:
        upstreams = (
            "portal:\n  preset: fujitsu-portal-key\n"
            f"  base_url: {origin}\n"
            "  provider: {keys: [demo-primary-key, demo-secondary-key]}"
        )
        async with sidekey(tmp_path, upstreams) as proxy:
            path = "/portal/da/v3/async/qubo/solve"
            first = await ask(proxy, f"POST {path}", JSON, content=b"{}")
            second = await ask(proxy, f"POST {path}", JSON, content=b"{}")
    assert (first.status, second.status) == (200, 200)
    keys = [request.header("X-Api-Key") for request in portal.requests]
    assert keys == [["demo-primary-key"], ["demo-secondary-key"], ["demo-secondary-key"]]
    assert portal.jobs_created == 2


async def test_when_every_key_is_rejected_the_client_gets_the_upstreams_answer(
    tmp_path: Path,
) -> None:
    """Surprise 7; keys that were all rejected take no turns for a while."""
    more = "reject_on: [401, 403]"
    async with answering(response("403 Forbidden", b"plan")) as upstream:
        text = keyed(upstream.origin, more=more).replace(KEY, f"[{KEY}, {KEY}-b]")
        async with sidekey(tmp_path, text) as proxy:
            answers = [await ask(proxy, "GET /r/a") for _ in range(3)]
    assert {(a.status, a.content) for a in answers} == {(403, b"plan")}
    assert all(answer.field("Sidekey-Error") == ["credential-rejected"] for answer in answers)
    assert len(upstream.requests) == 2 + 1 + 1


async def test_an_only_key_is_never_sent_twice_for_one_request(tmp_path: Path) -> None:
    async with (
        answering(response("401 No", b"no")) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
    ):
        answers = [await ask(proxy, "GET /r/a") for _ in range(3)]
    assert {(a.status, a.field("Sidekey-Error")[0]) for a in answers} == {
        (401, "credential-rejected")
    }
    assert len(upstream.requests) == 3
