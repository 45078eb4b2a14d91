"""K02: a mistake in any step of any provider tells nobody what the step had in its hands."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from canaries import canary, holds_canary
from hostile_harness import Log, logging_into
from oracles import tidy_loop
from proxying import sidekey
from raw_client import ask
from raw_upstream import RawRequest, answering, json_response, response

from proxy.cli import _report_mistake
from proxy.cli.loopback import loopback_sign_in
from proxy.credentials.exchange import Exchange
from proxy.credentials.redaction import Redaction
from proxy.observe.logs import log_observer

ASKED, ANSWERED = "while it asks", "while it reads the answer"
PLAIN = canary("mistake")
TOKEN_MEMBERS = ("refreshToken", "idToken", "access_token", "accessToken", "refresh_token", "token")
PROVIDERS = {
    "jquants": "{{type: jquants, mailaddress: {one}, password: {two}, base_url: {issuer}/token}}",
    "oauth2_client_credentials": "{{type: oauth2_client_credentials, token_url: {issuer}/token,"
    " client_id: {one}, client_secret: {two}}}",
    "token_endpoint": "{{type: token_endpoint, lifetime: 1h,"
    " request: {{url: {issuer}/token, json: {{id: {one}, secret: {two}}}}},"
    ' renewal: {{url: {issuer}/token, json: {{refresh_token: "{{refresh_token}}"}}}},'
    " response: {{token: accessToken, refresh_token: refreshToken}}}}",
    "miauth": "{{type: miauth, server: {issuer}, name: {one}}}",
    "misskey_app": "{{type: misskey_app, server: {issuer}, app_secret: {one}}}",
}
STEPS = [  # provider, its how manyeth flow, which request of that flow
    ("jquants", 0, 0),
    ("jquants", 0, 1),
    ("oauth2_client_credentials", 0, 0),
    ("oauth2_client_credentials", 1, 0),
    ("token_endpoint", 0, 0),
    ("token_endpoint", 1, 0),
]
LOGIN_STEPS = [("miauth", 1, 0), ("misskey_app", 0, 0), ("misskey_app", 1, 0)]


def issuing(request: RawRequest) -> bytes:
    """Answer as every token endpoint at once; the API itself rejects each token."""
    if request.target.startswith("/api-of-mine"):
        return response("401 Unauthorized", b"no")
    tokens = {name: canary("issued") for name in TOKEN_MEMBERS}
    more = {"ok": True, "expires_in": 3600, "token_type": "Bearer", "url": "http://127.0.0.1/x"}
    return json_response("200 OK", json.dumps({**tokens, **more, "user": {}}).encode())


class Explosive:
    """An answer that fails as soon as anybody looks at it, with all of it in the error."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        answer = self._answer
        raise RuntimeError(f"no {name} in {answer.headers} {answer.content!r} {PLAIN}")


def failing(flow: Generator[Any, Any, Any], step: int, moment: str) -> Generator[Any, Any, Any]:
    """Run `flow` up to its request number `step`, and let a mistake happen in its own frame."""
    request = next(flow)
    for _ in range(step):
        request = flow.send((yield request))
    if moment == ASKED:
        flow.throw(
            RuntimeError(f"{request!r} {request.url} {request.headers} {request.content!r} {PLAIN}")
        )
    flow.send(Explosive((yield request)))


@pytest.fixture
def mistake(
    monkeypatch: pytest.MonkeyPatch, provider: str, number: int, step: int, moment: str
) -> None:
    """Let the flow `number` fail at its request `step`."""
    run = Exchange.run
    flows = []

    async def run_and_fail(exchange: Exchange, flow: Any, provider: Any, *more: Any) -> Any:
        flows.append(flow)
        fails = len(flows) == number + 1
        return await run(exchange, failing(flow, step, moment) if fails else flow, provider, *more)

    monkeypatch.setattr(Exchange, "run", run_and_fail)


@contextmanager
def no_log() -> Iterator[None]:
    """Leave logging as `sidekey login` does, which has none of its own: pytest's is put away."""
    root = logging.getLogger()
    others, root.handlers[:] = root.handlers[:], []
    try:
        yield
    finally:
        root.handlers[:] = others


def configured(provider: str, issuer: str) -> str:
    text = PROVIDERS[provider].format(issuer=issuer, one=canary("one"), two=canary("two"))
    return f"r:\n  base_url: {issuer}/api-of-mine\n  provider: {text}"


@pytest.mark.case("K02")
@pytest.mark.parametrize("moment", [ASKED, ANSWERED])
@pytest.mark.parametrize(("provider", "number", "step"), STEPS)
async def test_a_mistake_while_a_token_is_obtained_is_a_500_that_tells_nothing(
    tmp_path: Path, provider: str, mistake: None
) -> None:
    log, redaction, received = Log(), Redaction(), bytearray()
    with tidy_loop(), logging_into(log, redaction):
        async with (
            answering(issuing) as issuer,
            sidekey(
                tmp_path,
                configured(provider, issuer.origin),
                observe=log_observer(),
                redaction=redaction,
            ) as proxy,
        ):
            answer = await ask(proxy, "GET /r/a", received=received)
            for page in ("status", "readyz", "metrics"):
                await ask(proxy, f"GET /_sidekey/{page}", received=received)
    assert (answer.status, answer.field("Sidekey-Error")) == (500, ["internal-error"])
    assert "RuntimeError" in log.text, "the log does not say what happened"
    assert not holds_canary(bytes(received))
    assert not holds_canary(log.text)
    assert not [record for record in log.records if holds_canary(record)]
    assert not [event for event in proxy.events if holds_canary(repr(event))]


@pytest.mark.case("K02")
@pytest.mark.parametrize("moment", [ASKED, ANSWERED])
@pytest.mark.parametrize(("provider", "number", "step"), LOGIN_STEPS)
async def test_a_mistake_while_somebody_signs_in_tells_nothing(
    tmp_path: Path, provider: str, mistake: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with tidy_loop():
        async with (
            answering(issuing) as issuer,
            sidekey(tmp_path, configured(provider, issuer.origin)) as proxy,
        ):
            with pytest.raises(RuntimeError) as caught:
                await loopback_sign_in(
                    proxy.source("r"), proxy.running.exchange, show=lambda url: None, wait=5
                )
    assert holds_canary(str(caught.value))
    with no_log():
        _report_mistake(caught.type, caught.value, caught.tb)
    said = capsys.readouterr().err
    assert "RuntimeError" in said
    assert not holds_canary(said)
