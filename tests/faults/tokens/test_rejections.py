"""What a rejection costs: one renewal, one replay, and nothing where it cannot help."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from clocks import Clock
from gateway_samples import tokened
from issuing import Issuer, to_the_api
from proxying import BEGINNING, sidekey
from raw_client import ask, chunked
from raw_upstream import RawRequest, answering, response
from sources import Make
from token_server import TokenServer, token_server

from proxy.credentials.stores.file import FileStore
from proxy.errors import CredentialExhausted, TokenEndpointUnreachable
from proxy.events import RequestForwarded
from proxy.observe.status import status_of

REJECTED = response("401 Unauthorized", b"never")


@pytest.mark.case("T15")
async def test_an_api_that_rejects_for_ever_costs_two_calls_and_one_renewal_in_30_seconds(
    tmp_path: Path,
) -> None:
    issuer = Issuer(answer=REJECTED)
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        answers = await asyncio.gather(*(ask(proxy, "GET /r/a") for _ in range(50)))
        answers += [await ask(proxy, "GET /r/a") for _ in range(20)]
    assert {(answer.status, answer.content) for answer in answers} == {(401, b"never")}
    assert {answer.field("Sidekey-Error")[0] for answer in answers} == {"credential-rejected"}
    assert issuer.issued == 2, "the first token, and one because of the rejection"
    assert len(to_the_api(upstream.requests)) <= 2 * len(answers)


@pytest.mark.case("T15")
async def test_processes_that_share_a_store_force_one_renewal_in_30_seconds_between_them(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    sources = [make(server.provider(), store=FileStore(folder)) for _ in range(4)]
    token = (await asyncio.gather(*(source.token() for source in sources)))[0]
    for round_ in range(1, 4):
        token = await sources[0].token(rejected=token)
        for source in sources[1:]:
            token = await source.token(rejected=await source.token())
            with pytest.raises(CredentialExhausted):
                await source.token(rejected=token)
        assert server.calls["renewal"] == round_
        clock.move(seconds=30)


async def test_a_rejected_token_is_not_told_as_a_good_one(
    make: Make, server: TokenServer, clock: Clock, folder: Path
) -> None:
    """It stands in the store as long as there is no other."""
    source = make(server.provider(), store=FileStore(folder))
    token = await source.token()
    server.fault = lambda: response("503 Busy")
    with pytest.raises(TokenEndpointUnreachable):
        await source.token(rejected=token)
    status = await status_of(source)
    assert status.state == "failed"
    assert status.error


@pytest.mark.case("T16")
async def test_an_upload_that_streams_is_not_sent_again_but_renews_for_the_next(
    tmp_path: Path,
) -> None:
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        assert (await ask(proxy, "GET /r/first")).status == 200
        issuer.revoke()
        content = chunked(*[b"x" * 65536] * 32)
        answer = await ask(proxy, "POST /r/up", "Transfer-Encoding: chunked", content=content)
        assert answer.status == 401
        assert (await ask(proxy, "GET /r/next")).status == 200
    targets = [request.target for request in to_the_api(upstream.requests)]
    assert targets == ["/first", "/up", "/next"]
    assert issuer.issued == 2


@pytest.mark.case("T17")
async def test_content_at_hand_is_sent_again_once_byte_for_byte(tmp_path: Path) -> None:
    issuer = Issuer()
    content = bytes(range(256)) * 100
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        assert (await ask(proxy, "GET /r/first")).status == 200
        issuer.revoke()
        assert (await ask(proxy, "POST /r/a?x=%7E", content=content)).status == 200
        [_, told] = proxy.told(RequestForwarded)
    _, once, again = to_the_api(upstream.requests)
    assert once.head.replace(b"token-1", b"token-2") == again.head
    assert once.content == again.content == content
    assert told.replayed


KEYS = """
r:
  base_url: {origin}
  provider: {{type: api_key, keys: [canary-primary, canary-secondary]}}
"""


@pytest.mark.case("T20")
async def test_the_second_key_takes_over_within_the_request_and_stays(tmp_path: Path) -> None:
    """Surprise 7: the portal's primary and secondary."""

    def api(request: RawRequest) -> bytes:
        good = request.field("Authorization") == ["Bearer canary-secondary"]
        return response("200 OK", b"ok") if good else response("401 No", b"no")

    async with (
        answering(api) as upstream,
        sidekey(tmp_path, KEYS.format(origin=upstream.origin), beginning=BEGINNING) as proxy,
    ):
        answers = [await ask(proxy, "GET /r/a") for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 5
    sent = [request.field("Authorization")[0] for request in upstream.requests]
    assert sent == ["Bearer canary-primary"] + ["Bearer canary-secondary"] * 5


@pytest.mark.case("T20")
async def test_keys_that_are_both_bad_do_not_flap(tmp_path: Path) -> None:
    async with (
        answering(response("401 No", b"no")) as upstream,
        sidekey(tmp_path, KEYS.format(origin=upstream.origin), beginning=BEGINNING) as proxy,
    ):
        answers = [await ask(proxy, "GET /r/a") for _ in range(10)]
    assert {answer.status for answer in answers} == {401}
    assert len(upstream.requests) == 2 + 9


async def test_a_server_that_rejects_a_good_token_for_a_moment_costs_no_sign_in(
    make: Make, folder: Path
) -> None:
    async with token_server() as server:
        source = make(server.provider(), store=FileStore(folder))
        first = await source.token()
        second = await source.token(rejected=first)
        assert second.value != first.value
    assert server.calls == {"sign-in": 1, "renewal": 1}
