"""What a client gets when something behind the proxy fails, and what nobody gets to see."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gateway_samples import keyed, tokened
from issuing import NOT_FOUND, Issuer, to_the_api
from proxying import Sidekey, sidekey
from raw_client import RawAnswer, ask, check_problem
from raw_upstream import (
    OK,
    Conversation,
    RawRequest,
    answering,
    conversing,
    json_response,
    response,
)

from proxy.events import RequestRefused, TokenFailed
from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.serving import serve

JSON = "Content-Type: application/json"
NOBODY = "http://127.0.0.1:1"


def check_silence(proxy: Sidekey, caplog: pytest.LogCaptureFixture, *answers: RawAnswer) -> None:
    """No answer of ours, no event and no log line holds a secret or a query string."""
    said = [*(answer.content.decode() for answer in answers), repr(proxy.events), caplog.text]
    assert not [text for text in said if "canary" in text]


@pytest.mark.parametrize(
    "answer",
    [
        response("500 Oops", b"canary"),
        response("503 Busy", b"", "Retry-After: 7"),
        response("200 OK", b"<html>canary</html>", "Content-Type: text/html"),
    ],
)
async def test_a_token_endpoint_without_a_usable_answer_is_502_with_retry_after(
    tmp_path: Path, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Surprise 22."""
    issuer = Issuer(token_answer=answer)
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        answers = [await ask(proxy, "GET /r/a?q=canary-query") for _ in range(5)]
        for got in answers:
            check_problem(got, 502, "token-endpoint-unreachable")
            assert int(got.field("Retry-After")[0]) >= 1
        check_silence(proxy, caplog, *answers)
    assert [request.target for request in upstream.requests] == ["/oauth/token"]


async def test_a_token_endpoint_that_nobody_serves_is_502(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, tokened(upstream.origin, NOBODY)) as p:
        answer = await ask(p, "GET /r/a")
    check_problem(answer, 502, "token-endpoint-unreachable")
    assert answer.field("Retry-After")
    assert upstream.requests == []


async def test_a_slow_token_endpoint_is_504(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.credentials.exchange.TIMEOUT", 0.1)

    async def converse(peer: Conversation) -> None:
        await peer.reader.read()

    async with (
        conversing(converse) as issuer,
        sidekey(tmp_path, tokened("http://127.0.0.1:1", issuer.origin)) as proxy,
    ):
        answer = await ask(proxy, "GET /r/a")
    check_problem(answer, 504, "token-endpoint-timeout")
    assert answer.field("Retry-After")


async def test_a_token_that_still_lives_serves_while_the_token_endpoint_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every token is due for renewal at once here, but lives for an hour."""
    monkeypatch.setattr("proxy.credentials.schedule.SOFT", 7200)
    monkeypatch.setattr("proxy.credentials.schedule.SOFT_SHARE", 2)
    monkeypatch.setattr("proxy.credentials.schedule.INTERVAL", 0)
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        assert (await ask(proxy, "GET /r/a")).status == 200
        issuer.token_answer = response("500 Oops", b"")
        answers = [await ask(proxy, "GET /r/a") for _ in range(3)]
        await proxy.source("r").settle()
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert len(proxy.told(TokenFailed)) == 1


async def test_a_wrong_password_is_502_and_is_tried_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A loop would lock the account."""
    jquants = JQuantsV1()
    async with serve(jquants.application()) as origin:
        text = (
            f"r:\n  preset: jquants-v1\n  base_url: {origin}/v1\n"
            "  provider: {mailaddress: canary@example.com, password: canary-password}"
        )
        async with sidekey(tmp_path, text) as proxy:
            together = await asyncio.gather(*(ask(proxy, "GET /r/listed/info") for _ in range(50)))
            later = [await ask(proxy, "GET /r/listed/info") for _ in range(5)]
            for answer in [*together, *later]:
                check_problem(answer, 502, "grant-rejected")
            check_silence(proxy, caplog, *together, *later)
    assert jquants.calls["/v1/token/auth_user"] == 1
    assert jquants.calls["/v1/listed/info"] == 0


async def test_a_refused_client_secret_is_502_and_is_not_repeated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = b'{"error": "invalid_client", "error_description": "canary-client-secret is wrong"}'
    issuer = Issuer(token_answer=json_response("401 No", said))
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        answers = [await ask(proxy, "GET /r/a") for _ in range(5)]
        for answer in answers:
            check_problem(answer, 502, "grant-rejected")
            assert "invalid_client" in answer.json()["detail"]
        check_silence(proxy, caplog, *answers)
    assert len(upstream.requests) == 1


async def test_a_rejection_that_cannot_be_renewed_is_the_token_endpoints_problem(
    tmp_path: Path,
) -> None:
    issuer = Issuer()
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        await ask(proxy, "GET /r/a")
        issuer.revoke()
        issuer.token_answer = response("500 Oops", b"")
        check_problem(await ask(proxy, "GET /r/a"), 502, "token-endpoint-unreachable")
    assert len(to_the_api(upstream.requests)) == 2


async def test_answers_of_the_upstream_are_not_ours_even_if_they_are_errors(
    tmp_path: Path,
) -> None:
    async with answering(NOT_FOUND) as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, "GET /r/a")
    assert (answer.content, answer.field("Sidekey-Error")) == (b"no", [])


async def test_no_event_and_no_log_line_holds_a_secret_or_a_query(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything that a request can carry is a canary; it is served, rejected and refused."""
    more = (
        'inject:\n- {in: header, name: Authorization, format: "Bearer {token}"}\n'
        "- {in: query, name: key}\n- {in: body, name: i, paths: [/json]}\n"
        "deny: [{paths: [/denied]}]"
    )

    def answer(request: RawRequest) -> bytes:
        return response("401 No", b"") if request.target.startswith("/twice") else OK

    issuer = Issuer(answer=answer)
    caplog.set_level("DEBUG")
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin, more=more)) as proxy,
    ):
        own = ("X-A: canary-field", "Authorization: Bearer canary-dummy", JSON)
        lines = ["/r/a", "/r/twice", "/r/json", "/r/denied", "/nope", "/r/%2e%2e/canary"]
        answers = [
            await ask(proxy, f"POST {line}?q=canary-query", *own, content=b'{"i":"canary"}')
            for line in lines
        ]
        answers.append(await ask(proxy, "POST /r/json?q=canary", *own, content=b'["canary"]'))
        answers.append(await ask(proxy, "POST /r/json?q=canary", *own, content=b'{"canary'))
        answers.append(await ask(proxy, "GET /r/a?q=canary", host="canary.example"))
        answers.append(await ask(proxy, "GET /_sidekey/status?q=canary"))
        assert len(proxy.told(RequestRefused)) == 6
        check_silence(proxy, caplog, *answers)


async def test_a_failure_that_lasts_does_not_grow_with_every_request(tmp_path: Path) -> None:
    """The one remembered error is raised again and again; its traceback must not keep them all."""
    issuer = Issuer(token_answer=json_response("401 No", b'{"error": "invalid_client"}'))
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        for _ in range(20):
            await ask(proxy, "GET /r/a")
        failure = proxy.source("r").failure
        assert failure is not None
        frames, trace = 0, failure.__traceback__
        while trace is not None:
            frames, trace = frames + 1, trace.tb_next
    assert frames < 20


async def test_an_answer_without_a_token_is_not_asked_for_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The sign-in succeeded: a wrong path in the configuration must not sign in once a minute."""
    issuer = Issuer(token_answer=json_response("200 OK", b'{"canary": 1}'))
    async with (
        answering(issuer) as upstream,
        sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
    ):
        answers = [await ask(proxy, "GET /r/a") for _ in range(5)]
        for answer in answers:
            check_problem(answer, 502, "grant-rejected")
            assert "upstreams.r.provider" in answer.json()["fix"]
        check_silence(proxy, caplog, *answers)
    assert [request.target for request in upstream.requests] == ["/oauth/token"]


async def test_the_password_in_an_absolute_target_reaches_no_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, "GET http://me:canary@evil.example/a", host="evil.example")
        assert answer.status == 421
        check_silence(proxy, caplog, answer)
