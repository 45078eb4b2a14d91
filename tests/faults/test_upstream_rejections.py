"""401: of our token, which is renewed once, or of the resource, which no token will open."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_samples import tokened
from issuing import Issuer, to_the_api
from proxying import sidekey
from raw_client import ask
from raw_upstream import RawRequest, answering, response


@pytest.mark.case("R24")
async def test_a_rejection_of_our_token_is_renewed_and_the_client_sees_none(
    tmp_path: Path,
) -> None:
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
        issuer.revoke()
        answer = await ask(proxy, "GET /r/a")
    assert (answer.status, answer.field("Sidekey-Error")) == (200, [])
    assert (issuer.issued, len(to_the_api(upstream.requests))) == (2, 3)


@pytest.mark.case("R24")
async def test_a_resource_that_rejects_everybody_spoils_no_other(tmp_path: Path) -> None:
    def answer(request: RawRequest) -> bytes:
        closed = request.target == "/closed"
        return response("401 No", b"closed") if closed else response("200 OK", b"ok")

    issuer = Issuer(answer=answer)
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        for _ in range(5):
            closed = await ask(proxy, "GET /r/closed")
            assert (closed.status, closed.content) == (401, b"closed")
            assert closed.field("Sidekey-Error") == ["credential-rejected"]
            assert (await ask(proxy, "GET /r/open")).content == b"ok"
    assert issuer.issued <= 2


@pytest.mark.case("R24")
async def test_a_second_rejection_is_passed_untouched_and_marked(tmp_path: Path) -> None:
    issuer = Issuer(answer=Issuer().rejection)
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        answer = await ask(proxy, "GET /r/a")
    assert answer.head == (
        b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n"
        b"WWW-Authenticate: Bearer\r\nContent-Length: 16\r\n"
        b"X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n"
        b"Cache-Control: no-store\r\nSidekey-Error: credential-rejected\r\n\r\n"
    )
    assert answer.json() == {"message": "no"}
    assert len(to_the_api(upstream.requests)) == 2


@pytest.mark.case("R24")
async def test_an_upstream_that_always_rejects_costs_one_renewal_and_not_one_a_request(
    tmp_path: Path,
) -> None:
    """A forced renewal comes at most once in 30 s."""
    issuer = Issuer(answer=Issuer().rejection)
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        answers = [await ask(proxy, "GET /r/a") for _ in range(10)]
    assert {answer.status for answer in answers} == {401}
    assert {tuple(answer.field("Sidekey-Error")) for answer in answers} == {
        ("credential-rejected",)
    }
    assert issuer.issued == 2
    assert len(to_the_api(upstream.requests)) == 2 + 9
