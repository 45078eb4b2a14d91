"""`sidekey trace`: what is asked and answered at a token endpoint, and no secret."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from canaries import canary, holds_canary
from command_line import Ended, Home, Started, free_port
from raw_upstream import json_response, response
from token_server import CUT_AFTER, token_server

from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.kabu import Kabu
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

CONFIG = """\
listen: {{port: 0}}
upstreams:
  jquants:
    preset: jquants-v1
    base_url: {jquants}/v1
    provider: {{mailaddress: "${{MAIL}}", password: "${{PASSWORD}}"}}
  oauth2:
    preset: fujitsu-portal-oauth2
    base_url: {portal}
    provider: {{client_id: demo-client, client_secret: "${{SECRET}}"}}
  legacy:
    preset: fujitsu-portal-legacy
    base_url: {portal}
    provider: {{client_id: demo-client, client_secret: "${{SECRET}}"}}
  wrong-path:
    preset: fujitsu-portal-legacy
    base_url: {portal}
    provider:
      client_id: demo-client
      client_secret: "${{SECRET}}"
      response: {{token: data.accesToken}}
  kabu:
    preset: kabu-station
    base_url: {kabu}/kabusapi
    provider: {{api_password: "${{API_PASSWORD}}"}}
  misskey: {{preset: misskey, base_url: "{misskey}"}}
  key: {{base_url: "{portal}", provider: {{type: api_key, keys: "${{SECRET}}"}}}}
"""


@asynccontextmanager
async def sandboxes(home: Home) -> AsyncIterator[MisskeySandbox]:
    misskey, kabu = MisskeySandbox(), Kabu()
    home.environ |= {"MAIL": "demo@example.com", "PASSWORD": "demo-password"}
    home.environ |= {"SECRET": "demo-client-secret", "API_PASSWORD": "demo-api-password"}
    async with (
        serve(JQuantsV1().application()) as one,
        serve(Portal().application()) as two,
        serve(kabu.application()) as three,
        serve(misskey.application()) as four,
    ):
        home.configure(CONFIG.format(jquants=one, portal=two, kabu=three, misskey=four))
        yield misskey


async def traced(home: Home, name: str, *options: str) -> Ended:
    """Trace; neither what is configured nor the token that is kept afterwards is shown."""
    ended = await home.run("trace", name, *options)
    token = await home.run("token", name)
    secrets = [home.environ[key] for key in ("MAIL", "PASSWORD", "SECRET", "API_PASSWORD")]
    if token.code == 0:
        secrets.append(token.out.strip())
    assert not [secret for secret in secrets if secret in ended.said]
    return ended


async def test_each_grant_shows_its_requests_and_answers_and_no_secret(home: Home) -> None:
    async with sandboxes(home):
        jquants = await traced(home, "jquants")
        oauth2 = await traced(home, "oauth2")
        kabu = await traced(home, "kabu")
    assert (jquants.code, oauth2.code, kabu.code) == (0, 0, 0)
    first, second = jquants.out.split("\n2  ")
    assert first.startswith("1  POST http://127.0.0.1:")
    assert '"mailaddress": "***(16)"' in first
    assert '"refreshToken": "***(' in first
    assert "/v1/token/auth_refresh?refreshtoken=***(" in second.splitlines()[0]
    assert '"idToken": "***(' in second
    assert "refresh token  yes, until" in second
    assert "> Authorization: Basic ***(40)" in oauth2.out
    assert "> grant_type=client_credentials" in oauth2.out
    assert '"token_type": "Bearer"' in oauth2.out
    assert "token          found, 64 characters" in oauth2.out
    assert "refresh token  no" in oauth2.out
    assert '"ResultCode": 0' in kabu.out
    assert "(assumed: the answer does not tell)" in kabu.out


async def test_a_trace_begins_anew_and_with_renew_it_renews_the_token_that_is_stored(
    home: Home,
) -> None:
    async with token_server() as server:
        home.configure(f"listen: {{port: 0}}\nupstreams:\n  {server.upstreams('r')}\n")
        renewals = []
        for options in ((), (), ("--renew",), ("--renew",)):
            ended = await home.run("trace", "r", "--json", *options)
            document = json.loads(ended.out)
            [step] = document["steps"]
            renewals.append(step["url"].removeprefix(server.origin))
            assert not holds_canary(ended.said)
        kept = await home.run("token", "r")
        assert server.takes(kept.out.strip())
    assert renewals == ["/token", "/token", "/renew", "/renew"]
    assert server.calls == {"sign-in": 2, "renewal": 2}
    assert step["answer"]["content"] == {
        "access_token": "***(26)",
        "refresh_token": "***(26)",
        "expires_in": 3600.0,
    }
    assert document["token"]["refresh_token"] is True
    assert document["token"]["next_renewal"] < document["token"]["expires_at"]


async def test_a_trace_that_fails_keeps_the_token_that_is_stored(home: Home) -> None:
    async with token_server() as server:
        home.configure(f"listen: {{port: 0}}\nupstreams:\n  {server.upstreams('r')}\n")
        before = await home.run("token", "r")
        server.faults.append(json_response("401 Unauthorized", b'{"error": "invalid_client"}'))
        failed = await home.run("trace", "r")
        after = await home.run("token", "r")
    assert failed.code == 1
    assert "   < 401" in failed.out
    assert '"error": "invalid_client"' in failed.out
    assert "sidekey: r: the token endpoint answered 401: invalid_client" in failed.err
    assert (after.code, after.out) == (0, before.out)


async def test_a_token_is_kept_though_nobody_reads_the_trace_any_more(home: Home) -> None:
    """A broken pipe in the middle of a flow must not cost a token that exists only once."""
    async with token_server() as server:
        home.configure(f"listen: {{port: 0}}\nupstreams:\n  {server.upstreams('r')}\n")
        await home.shell(f"{sys.executable} -m proxy trace r | true")
        kept = await home.run("token", "r")
    assert server.calls == {"sign-in": 1}
    assert server.takes(kept.out.strip())


async def test_a_wrong_path_to_the_token_is_corrected(home: Home) -> None:
    async with sandboxes(home):
        ended = await traced(home, "wrong-path")
        as_json = await home.run("trace", "wrong-path", "--json")
    assert ended.code == 1
    assert "the answer has texts at: accessToken, refreshToken" in ended.out
    assert "(did you mean 'accessToken'?)" in ended.out
    assert "no token at 'data.accesToken'" in ended.err
    error = json.loads(as_json.out)["error"]
    assert "did you mean 'accessToken'?" in error["found"]
    assert "no token at" in error["detail"]


SHORT = """\
listen: {{port: 0}}
upstreams:
  r:
    base_url: {origin}
    provider:
      type: token_endpoint
      request: {{url: "{origin}/token", form: {{pin: "${{PIN}}", kind: session}}}}
      response: {{token: result.0.id, refresh_token: result.0.next}}
"""


async def test_what_the_configuration_calls_a_token_is_hidden_however_short_it_is(
    home: Home,
) -> None:
    answer = b'{"result": [{"id": "s3cr3t", "next": "f0ll0w", "state": "ok"}], "x": "plain"}'
    async with token_server() as server:
        home.configure(SHORT.format(origin=server.origin))
        server.faults.append(json_response("200 OK", answer))
        ended = await home.run("trace", "r", PIN="12345678")
    assert ended.code == 0
    for shown in ('"id": "***(6)"', '"next": "***(6)"', '"state": "ok"', '"x": "plain"'):
        assert shown in ended.out
    assert "> pin=***(8)&kind=session" in ended.out
    assert not [one for one in ("s3cr3t", "f0ll0w", "12345678") if one in ended.said]


async def test_why_nobody_answers_is_told_with_the_url_as_it_stands_above(home: Home) -> None:
    origin = f"http://127.0.0.1:{free_port()}"
    path = "/realms/of-the-operator/{}/openid-connect/token"
    url = f'"{origin}{path.format("${API_KEY}")}?api_key=${{API_KEY}}"'
    provider = f"{{type: token_endpoint, request: {{url: {url}}}, response: {{token: t}}}}"
    home.configure(f"upstreams:\n  r: {{base_url: '{origin}', provider: {provider}}}\n")
    ended = await home.run("trace", "r", API_KEY=canary("key"))
    asked, why = ended.out.splitlines()[0], ended.out.splitlines()[-1]
    shown = origin + path.format("***")
    assert f"POST {shown}?api_key=***" in asked
    assert why == f"   ! {shown}: no connection (Connection refused)"
    assert not holds_canary(ended.said)


ANSWERS = {
    "redirect": (
        response("302 Found", b"", "Location: https://elsewhere.example/a?token=canary-l"),
        ("   < 302", "Location: https://elsewhere.example/a?token=***(8)", "follows no redirect"),
    ),
    "page": (
        response("200 OK", b"<html>Sign in</html>", "Content-Type: text/html"),
        ("<html>Sign in</html>", "(no JSON)"),
    ),
    "bytes": (response("200 OK", b"\xff\xfe\x00"), ("(3 bytes that are no text)",)),
    "large page": (
        response("200 OK", b"word " * 1000),
        ("(no JSON, and cut: 5000 characters)",),
    ),
    "large JSON": (
        json_response("200 OK", json.dumps({"list": list(range(500))}).encode()),
        ("more lines", "no token: the answer has no texts"),
    ),
    "nested JSON": (
        json_response("200 OK", b'{"a":' * 900 + b"1" + b"}" * 900),
        ("nested too deeply",),
    ),
    "too much": (response("200 OK", bytes(70_000)), ("! ", "answered more than 65536 bytes")),
    "no answer": (CUT_AFTER, ("! ", "it closed the connection without an answer")),
}


@pytest.mark.parametrize(("answer", "shown"), ANSWERS.values(), ids=ANSWERS)
async def test_whatever_a_token_endpoint_answers_is_shown_in_short(
    home: Home, answer: object, shown: tuple[str, ...]
) -> None:
    async with token_server() as server:
        home.configure(f"listen: {{port: 0}}\nupstreams:\n  {server.upstreams('r')}\n")
        server.faults.append(answer)
        ended = await home.run("trace", "r")
    assert ended.code == 1
    for text in shown:
        assert text in ended.out
    assert len(ended.out) < 4000
    assert not holds_canary(ended.said)
    assert "internal error" not in ended.said


async def test_an_endpoint_that_nobody_listens_at_is_shown_with_what_was_asked(home: Home) -> None:
    async with token_server() as server:
        text = server.upstreams("r", password=canary("password"))
    home.configure(f"listen: {{port: 0}}\nupstreams:\n  {text}\n")
    ended = await home.run("trace", "r")
    assert ended.code == 1
    assert '"password": "***(40)"' in ended.out
    assert "no connection (Connection refused)" in ended.out
    assert not holds_canary(ended.said)


async def test_a_sign_in_is_led_through_and_each_question_is_shown(home: Home) -> None:
    async with sandboxes(home) as misskey, home.started("trace", "misskey", "--no-browser") as run:
        token = misskey.approve_miauth(await session_of(run))
        ended = await run.ended()
        kept = await home.run("token", "misskey")
    assert ended.code == 0
    assert kept.out.strip() == token
    assert token not in ended.said
    assert "/api/miauth/***(36)/check" in ended.out
    assert '"token": "***(' in ended.out
    assert "user           @bob" in ended.out


async def session_of(run: Started) -> str:
    page = await run.err.shows(r"http://\S+/miauth/([0-9a-f-]+)")
    return page[1]


async def test_keys_are_asked_for_nowhere_and_an_unknown_name_is_a_mistake(home: Home) -> None:
    async with sandboxes(home):
        key, unknown = await home.run_all(("trace", "key"), ("trace", "nobody"))
    assert (key.code, key.out) == (0, "")
    assert "there is nothing to ask" in key.err
    assert unknown.code == 2


async def test_refusals_of_traces_count_as_any_others(home: Home) -> None:
    """Whoever tries a configuration must not lock the account."""
    async with token_server(locked=True) as server:
        home.configure("".join(["upstreams:\n  ", server.upstreams("r"), "\n"]))
        ended = [await home.run("trace", "r") for _ in range(4)]
    assert [one.code for one in ended] == [1, 1, 1, 1]
    assert server.calls["refused"] == 3
    assert "3 attempts within an hour" in ended[3].err


async def test_a_secret_that_a_file_brings_into_a_url_is_not_shown(home: Home) -> None:
    secret = home.work / "secret"
    secret.write_text("canary-short")
    secret.chmod(0o600)
    home.configure(
        "upstreams:\n"
        "  b:\n"
        "    base_url: https://a.example\n"
        "    provider:\n"
        "      type: oauth2_client_credentials\n"
        "      token_url: 'http://127.0.0.1:9/${file:secret}/t?x=${file:secret}'\n"
        "      client_id: me\n"
        "      client_secret: ${CLIENT_SECRET}\n"
    )
    ended = await home.run("trace", "b", CLIENT_SECRET="canary-client-secret")
    assert ended.code == 1
    assert "POST http://127.0.0.1:9/" in ended.out
    assert not holds_canary(ended.said)
