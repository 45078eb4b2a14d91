"""What is told of a request without sending it is what happens to one that is sent."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from types import MappingProxyType

import pytest
from canaries import holds_canary
from command_line import free_port
from proxying import BEGINNING, Sidekey, sidekey
from raw_client import RawAnswer, message, raw_client
from raw_upstream import json_response
from strict_upstream import StrictUpstream, strict_upstream
from token_server import token_server

from proxy.clock import utc_now
from proxy.config import load
from proxy.config.models import Settings
from proxy.credentials.attempts import LIMIT
from proxy.credentials.redaction import Redaction
from proxy.credentials.stores.memory import MemoryStore
from proxy.errors import ConfigError
from proxy.gateway.explained import Explanation
from proxy.gateway.explanation import States, explain
from proxy.observe.status import status_of
from proxy.sources import know_all

KEY, PHANTOM, SHARED = "canary-the-key", "canary-phantom-key-1", "canary-shared-field-1"
KEYED = f"r:\n  base_url: ORIGIN/v1\n  provider: {{type: api_key, keys: {KEY}}}\n"
ISSUED = """\
r:
  base_url: ORIGIN/v1
  provider:
    type: oauth2_client_credentials
    token_url: ORIGIN/v1/oauth/token
    client_id: me
    client_secret: canary-client-secret
"""
MISSKEY = f"r:\n  preset: misskey-token\n  base_url: ORIGIN\n  provider: {{token: {KEY}}}\n"
HUMAN = "r: {preset: misskey, base_url: ORIGIN}\n"
KEYS = f"clients: {{keys: {PHANTOM}}}\n"
HEADER = f"clients: {{header: {{name: X-Who, value: {SHARED}}}}}\n"
JSON, FORM = "Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded"
PARTS = "Content-Type: multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nhello\r\n--b--\r\n'
HANDSHAKE = (
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@dataclass(frozen=True)
class Case:
    """A request, and the configuration that decides about it."""

    line: str
    fields: tuple[str, ...] = ()
    content: bytes = b""
    upstream: str = KEYED
    more: str = ""
    beginning: str = ""
    host: str = "127.0.0.1:MAIN"


def rules(*lines: str) -> str:
    return "  inject:\n" + "".join(f"    - {{{line}}}\n" for line in lines)


SENT = {
    "header": Case("GET /r/a?b=c"),
    "no path at all": Case("GET /r"),
    "query in a raw target": Case("POST /r/a%20b/;x?q=%7E&q=2", more=rules("in: query, name: key")),
    "a query of the client's": Case("GET /r/a?KEY=mine&x=1", more=rules("in: query, name: key")),
    "cookie": Case(
        "GET /r/a", ("Cookie: s=mine; o=1",), more=rules("in: cookie, name: s") + "  cookies: pass"
    ),
    "path": Case("GET /r/getMe", more=rules('in: path, format: "bot{token}"')),
    "no content": Case("POST /r/a", more=rules("in: body, name: i")),
    "JSON": Case("POST /r/a", (JSON,), b'{"a": 1, "i": "mine"}', more=rules("in: body, name: i")),
    "form": Case("POST /r/a", (FORM,), b"a=1&i=mine", more=rules("in: body, name: i")),
    "multipart": Case("POST /r/a", (PARTS,), PART, more=rules("in: body, name: i")),
    "content that streams": Case("PUT /r/a", ("Content-Type: text/plain",), b"hello"),
    "two rules, one for another path": Case(
        "GET /r/a",
        more=rules(
            "in: header, name: X-Version, format: canary-",  # too short for a search
            'in: header, name: Authorization, format: "{token}", paths: [/v1/a]',
            "in: query, name: key, paths: [/v1/b]",
        ),
    ),
    "a rule that is for another path only": Case(
        "GET /r/a?key=mine", more=rules("in: query, name: key, paths: [/v1/b]")
    ),
    "a secret in the format": Case(
        "GET /r/a", more=rules('in: header, name: X-Id, format: "canary-id:{token}"')
    ),
    "hop-by-hop": Case(
        "GET /r/a",
        (
            *("Connection: X-Mine, close", "X-Mine: 1", "TE: trailers", "Origin_: 1"),
            *("X-HTTP-Method-Override: PUT", "X_Api_Key: 1", "Accept: a", "accept: b"),
            *("X-Rewrite-Url: /b", "Referer: http://localhost/", "Cookie: a=b"),
        ),
    ),
    "allowed": Case("GET /r/a/b", more='  allow: [{methods: [POST]}, {paths: ["/v1/a/**"]}]'),
    "replaced": Case("GET /r/a", ("Authorization: Bearer mine",)),
    "passed": Case(
        "GET /r/a", ("Authorization: Bearer canary-mine",), more="  client_credential: pass"
    ),
    "passed, but there is none": Case("GET /r/a", more="  client_credential: pass"),
    "encoded slash": Case("GET /r/a%2Fb", more="  encoded_slashes: pass"),
    "searched content": Case("GET /r/a", ("Range: bytes=0-1",), more="  redact: content"),
    "readable codings": Case(
        "GET /r/a",
        ("Accept-Encoding: br, gzip",),
        more="  reject_on: [{status: 403, contains: token}]",
    ),
    "misskey's API": Case("POST /r/api/i", (JSON,), b"{}", upstream=MISSKEY),
    "misskey's streaming": Case("GET /r/streaming", HANDSHAKE, upstream=MISSKEY),
    "misskey's files": Case("GET /r/files/a", upstream=MISSKEY),
    "misskey, and nobody has signed in where no token is needed": Case(
        "GET /r/files/a", upstream=HUMAN
    ),
    "own port": Case("GET /a?b", more="  port: PORT", host="127.0.0.1:PORT"),
    "host of its own": Case("GET /a", host="r.localhost:MAIN"),
    "phantom key": Case("GET /r/a", (f"Authorization: Bearer {PHANTOM}",), beginning=KEYS),
    "phantom key where a credential is refused": Case(
        "GET /r/a",
        (f"Authorization: Bearer {PHANTOM}",),
        more="  client_credential: reject",
        beginning=KEYS,
    ),
    "shared field": Case("GET /r/a", (f"X-Who: {SHARED}",), beginning=HEADER),
    "phantom key in content": Case(
        "POST /r/a",
        (JSON,),
        json.dumps({"i": PHANTOM}).encode(),
        more=rules("in: body, name: i"),
        beginning=KEYS,
    ),
}
REFUSED = {
    "dot segment": Case("GET /r/a/../b"),
    "encoded dot segment": Case("GET /r/a/%252e%252e/b"),
    "encoded slash": Case("GET /r/a%2fb"),
    "malformed escape": Case("GET /r/a%zz"),
    "denied": Case("GET /r/A/b", more='  deny: [{methods: [POST]}, {paths: ["/v1/a/*"]}]'),
    "not allowed": Case("GET /r/b", more='  allow: [{paths: ["/v1/a/*"]}]'),
    "token endpoint": Case("POST /r/oauth/%74oken", upstream=ISSUED),
    "method": Case("PURGE /r/a"),
    "echoing method": Case("TRACE /r/a"),
    "unknown upstream": Case("GET /nothing/x"),
    "the root": Case("GET /"),
    "unknown upstream that is nearly one": Case("GET /rr/x"),
    "foreign host": Case("GET /r/a", host="evil.example:MAIN"),
    "host of an upstream that is none": Case("GET /a", host="q.localhost:MAIN"),
    "web page": Case("GET /r/a", ("Origin: https://evil.example",)),
    "address bar": Case("GET /r/a", ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate")),
    "another proxy": Case("GET /r/a", ("Via: 1.1 a",)),
    "credential of the client's": Case(
        "GET /r/a", ("Authorization: Bearer mine",), more="  client_credential: reject"
    ),
    "nobody shows a key": Case("GET /r/a", beginning=KEYS),
    "nobody shows a key, and the name is unknown": Case("GET /q/a", beginning=KEYS),
    "nobody shows the field": Case("GET /r/a", beginning=HEADER),
    "no place for a key": Case(
        "GET /r/a", (f"X-Other: {PHANTOM}",), more=rules("in: query, name: k"), beginning=KEYS
    ),
    "large content": Case("PUT /r/a", (), b"abcdef", more="  limits: {content: 5}"),
    "large content to inject into": Case(
        "PUT /r/a", (JSON,), b'{"a": 1}', more=rules("in: body, name: i, max_size: 5")
    ),
    "content of another type": Case(
        "PUT /r/a", ("Content-Type: text/plain",), b"a", more=rules("in: body, name: i")
    ),
    "compressed content": Case(
        "PUT /r/a", (JSON, "Content-Encoding: gzip"), b"a", more=rules("in: body, name: i")
    ),
    "a method without content": Case("GET /r/a", more=rules("in: body, name: i")),
    "malformed handshake": Case("GET /r/a", HANDSHAKE[:3]),
    "denied by a preset": Case("POST /r/api/i/regenerate-token", upstream=MISSKEY),
    "nobody has signed in": Case("POST /r/api/i", upstream=HUMAN),
    # Where two checks would refuse, the first one says so.
    "key before path": Case("GET /r/../a", beginning=KEYS),
    "handshake before path": Case("GET /r/../a", HANDSHAKE[:3]),
    "rule before size": Case(
        "PUT /r/a", (), b"ab", more="  limits: {content: 1}\n  deny: [{paths: [/v1/a]}]"
    ),
    "size before credential": Case(
        "PUT /r/a",
        ("Authorization: Bearer mine",),
        b"ab",
        more="  limits: {content: 1}\n  client_credential: reject",
    ),
    "sign-in before content": Case(
        "POST /r/api/i", ("Content-Type: text/plain",), b"a", upstream=HUMAN
    ),
}
ANSWERED = {
    "local answer": Case("POST /r/api/miauth/0/check", upstream=MISSKEY),
    "local answer before a deny rule": Case(
        "POST /r/token",
        more="  deny: [{paths: [/v1/token]}]\n"
        "  local_answers: [{paths: [/v1/token], json: {token: made-up}}]",
    ),
}


@dataclass(frozen=True)
class Both:
    """What was told of a request, and what happened to it."""

    told: Explanation
    answer: RawAnswer
    upstream: StrictUpstream


async def told_and_done(folder: Path, case: Case) -> Both:
    """Tell what becomes of a request, and then send it."""
    own_port = str(free_port())
    async with strict_upstream() as upstream:
        text = (case.upstream + case.more).replace("ORIGIN", upstream.origin)
        text = text.replace("PORT", own_port)
        async with sidekey(folder, text, beginning=BEGINNING + case.beginning) as proxy:
            host = case.host.replace("MAIN", str(proxy.port)).replace("PORT", own_port)
            told = await explained(folder, proxy, case, host)
            return Both(told, await answered(case, host), upstream)


async def explained(folder: Path, proxy: Sidekey, case: Case, host: str) -> Explanation:
    settings = load(folder / "sidekey.yaml", environ={}).settings
    statuses = await asyncio.gather(*map(status_of, proxy.running.sources.values()))
    states = {status.upstream: status for status in statuses}
    method, _, target = case.line.partition(" ")
    fields = list(case.fields)
    if case.content:
        fields.append(f"Content-Length: {len(case.content)}")
    return told_of(settings, f"{method} http://{host}{target}", *fields, states=states)


async def answered(case: Case, host: str) -> RawAnswer:
    fields = list(case.fields)
    if case.content:
        fields.append(f"Content-Length: {len(case.content)}")
    request = message(case.line, *fields, content=case.content, host=host)
    async with raw_client(int(host.rpartition(":")[2])) as client:
        await client.send(request)
        return await client.answer(case.line.partition(" ")[0])


def told_of(
    settings: Settings, line: str, *fields: str, states: States = MappingProxyType({})
) -> Explanation:
    """Return what is told; there is no secret in it, and no stand-in for one."""
    method, _, url = line.partition(" ")
    pairs = [(name, value.strip()) for name, _, value in (one.partition(":") for one in fields)]
    redaction = Redaction()
    know_all(redaction, settings)
    found = explain(settings, method, url, pairs, states=states, redaction=redaction)
    said = json.dumps(found.members())
    assert not holds_canary(said), said
    assert "stands-in" not in said
    return found


def fits(told: str, real: str) -> bool:
    """Tell whether a text is the one that was told of, where `***` is anything."""
    return re.fullmatch(re.escape(told).replace(re.escape("***"), ".+"), real) is not None


def is_framing(name: str) -> bool:
    return name in ("Content-Length", "Transfer-Encoding")


@pytest.mark.parametrize("case", SENT.values(), ids=SENT)
async def test_what_is_told_is_what_is_sent(tmp_path: Path, case: Case) -> None:
    both = await told_and_done(tmp_path, case)
    assert both.told.outcome == "sent"
    assert both.answer.status < 300
    told, real = both.told.request, both.upstream.last
    assert told is not None
    assert told.method == real.method
    assert fits(told.url, both.upstream.origin + real.target), (told.url, real.target)
    framed = any(is_framing(name) for name, _ in told.fields)
    assert framed or real.content or told.method in ("GET", "HEAD")
    fields = [field for field in real.fields if framed or not is_framing(field[0])]
    assert [name for name, _ in told.fields] == [name for name, _ in fields]
    for (_, shown), (name, value) in zip(told.fields, fields, strict=True):
        assert fits(shown, value), (name, shown, value)


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
async def test_what_is_told_of_a_refusal_is_the_problem_that_comes(
    tmp_path: Path, case: Case
) -> None:
    both = await told_and_done(tmp_path, case)
    check_same_problem(both.told, both.answer)
    assert not both.upstream.requests


def check_same_problem(told: Explanation, answer: RawAnswer) -> None:
    """Check that the answer is the problem that was told of."""
    refusal = told.refusal
    assert told.outcome == "refused"
    assert refusal is not None
    problem = answer.json()
    assert answer.field("Sidekey-Error") == [refusal.slug]
    members = ("title", "status", "detail", "fix")
    assert [getattr(refusal, name) for name in members] == [problem.get(name) for name in members]
    assert [verdict.passed for verdict in told.verdicts].count(False) == 1
    assert told.verdicts[-1].why == refusal.detail
    assert told.request is None


UNAVAILABLE = b"HTTP/1.1 503 Unavailable\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n"
REFUSED_GRANT = json_response("400 Bad Request", b'{"error": "invalid_grant"}')
WITHOUT_TOKEN = json_response("200 OK", b"{}")
FAILING = {
    "refused": (REFUSED_GRANT, "grant-rejected"),
    "an answer without a token": (WITHOUT_TOKEN, "grant-rejected"),
    "an endpoint that is down": (UNAVAILABLE, "token-endpoint-unreachable"),
}


@pytest.mark.parametrize(("fault", "slug"), FAILING.values(), ids=FAILING)
async def test_while_a_token_endpoint_is_left_alone_the_problem_that_comes_is_told(
    tmp_path: Path, fault: bytes, slug: str
) -> None:
    case = Case("GET /r/a")
    async with (
        token_server(faults=[fault]) as server,
        sidekey(tmp_path, server.upstreams("r")) as proxy,
    ):
        await answered(case, proxy.host)
        told = await explained(tmp_path, proxy, case, proxy.host)
        answer = await answered(case, proxy.host)
        assert server.asked == 1
    assert answer.field("Sidekey-Error") == [slug]
    check_same_problem(told, answer)


async def test_once_an_account_could_be_locked_the_problem_that_comes_is_told(
    tmp_path: Path,
) -> None:
    case, store = Case("GET /r/a"), MemoryStore(now=utc_now)
    async with token_server(locked=True) as server:
        for _ in range(LIMIT):
            async with sidekey(tmp_path, server.upstreams("r"), store=store) as proxy:
                await answered(case, proxy.host)
        async with sidekey(tmp_path, server.upstreams("r"), store=store) as proxy:
            told = await explained(tmp_path, proxy, case, proxy.host)
            answer = await answered(case, proxy.host)
        assert server.asked == LIMIT
    check_same_problem(told, answer)


async def test_a_refusal_that_another_process_met_is_no_reason_not_to_ask(tmp_path: Path) -> None:
    case, store = Case("GET /r/a"), MemoryStore(now=utc_now)
    async with token_server(locked=True) as server:
        async with sidekey(tmp_path, server.upstreams("r"), store=store) as proxy:
            await answered(case, proxy.host)
        server.locked = False
        async with sidekey(tmp_path, server.upstreams("r"), store=store) as proxy:
            told = await explained(tmp_path, proxy, case, proxy.host)
            answer = await answered(case, proxy.host)
    assert (told.outcome, answer.status) == ("sent", 200)
    assert told.token is not None
    assert told.token["state"] == "blocked"
    assert "asks once more" in told.verdicts[-1].why


@pytest.mark.parametrize("case", ANSWERED.values(), ids=ANSWERED)
async def test_what_is_told_of_an_answer_of_our_own_is_that_answer(
    tmp_path: Path, case: Case
) -> None:
    both = await told_and_done(tmp_path, case)
    answer = both.told.answer
    assert both.told.outcome == "answered"
    assert answer is not None
    assert (answer.status, answer.content) == (both.answer.status, both.answer.json())
    assert (answer.rule or "").startswith("upstreams.r.local_answers[")
    assert not both.upstream.requests


@pytest.mark.parametrize("field", ["Accept: text/html", "Sec-Fetch-Mode: navigate"])
async def test_the_way_of_a_browser_to_the_dashboard_is_told(tmp_path: Path, field: str) -> None:
    both = await told_and_done(tmp_path, Case("GET /", (field,)))
    assert both.told.answer is not None
    assert both.told.answer.status == both.answer.status == 302


MANY = """listen: {port: 8080}
upstreams:
  jquants:
    preset: jquants-v1
    provider: {mailaddress: me@example.com, password: canary-password}
    deny:
      - {paths: [/v1/token/**]}
      - {methods: [GET], paths: [/v1/secret]}
  inner: {base_url: "https://api.jquants.com/v1/inner", provider: {type: api_key, keys: canary-k}}
  own: {base_url: "https://own.example", port: 8081, provider: {type: api_key, keys: canary-k}}
  cookies:
    base_url: https://cookies.example
    provider: {type: api_key, keys: [canary-k, canary-l]}
    inject:
      - {in: header, name: Authorization, format: "Bearer {token}"}
      - {in: query, name: k, paths: [/other]}
      - {in: body, name: i}
"""


@pytest.fixture
def many(tmp_path: Path) -> Settings:
    path = tmp_path / "sidekey.yaml"
    path.write_text(MANY)
    path.chmod(0o600)
    return load(path, environ={}).settings


@pytest.mark.parametrize(
    ("url", "local", "sent"),
    [
        (
            "https://api.jquants.com/v1/listed/info?code=86970",
            "http://127.0.0.1:8080/jquants/listed/info?code=86970",
            "https://api.jquants.com/v1/listed/info?code=86970",
        ),
        (
            "https://API.jquants.com:443/v1",
            "http://127.0.0.1:8080/jquants",
            "https://api.jquants.com/v1",
        ),
        (
            "https://api.jquants.com/v1/inner/a",
            "http://127.0.0.1:8080/inner/a",
            "https://api.jquants.com/v1/inner/a",
        ),
        ("https://own.example/a%20b", "http://127.0.0.1:8081/a%20b", "https://own.example/a%20b"),
        ("https://own.example", "http://127.0.0.1:8081/", "https://own.example/"),
        ("/own/a#b", "http://127.0.0.1:8080/own/a", "https://own.example/a"),
        ("http://[::1]:8081/a", "http://[::1]:8081/a", "https://own.example/a"),
    ],
)
def test_the_url_of_an_api_stands_for_a_local_one(
    many: Settings, url: str, local: str, sent: str
) -> None:
    told = told_of(many, f"GET {url}")
    assert told.local == local
    assert told.request is not None
    assert told.request.url == sent


@pytest.mark.parametrize(
    ("url", "slug", "said"),
    [
        ("https://api.jquants.com/v2/a", "unknown-upstream", "https://api.jquants.com/v1"),
        ("https://api.jquants.com/v10", "unknown-upstream", "https://api.jquants.com/v1"),
        ("https://evil.example/own/a", "unknown-upstream", "https://own.example"),
        ("https://127.0.0.1:8080/own/a", "unknown-upstream", "call sidekey by http"),
        ("http://127.0.0.1:9999/own/a", "host-refused", "the port of sidekey"),
        ("/jquant/listed/info", "unknown-upstream", "did you mean 'jquants'?"),
    ],
)
def test_a_url_that_leads_nowhere_says_what_would(
    many: Settings, url: str, slug: str, said: str
) -> None:
    refusal = told_of(many, f"GET {url}").refusal
    assert refusal is not None
    assert refusal.slug == slug
    assert said in f"{refusal.detail} {refusal.fix}"


@pytest.mark.parametrize(
    "url",
    [
        *("", "ftp://a/b", "http://", "http://me:pw@127.0.0.1:8080/own"),
        *("http://[/x", "http://[]/x", "https://[..]/x", "http://a]b[/x"),
    ],
)
def test_what_is_no_url_is_no_question(many: Settings, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        told_of(many, f"GET {url}")
    assert "pw" not in str(caught.value)


def test_the_rule_that_decides_is_named_with_its_place(many: Settings) -> None:
    denied = told_of(many, "GET /jquants/secret")
    assert denied.verdicts[-1].rule == "upstreams.jquants.deny[1]"
    endpoint = told_of(many, "GET /jquants/token/auth_user")
    assert endpoint.verdicts[-1].rule is None
    assert "token endpoints" in endpoint.verdicts[-1].why
    answered = told_of(many, "POST /jquants/token/auth_refresh")
    assert answered.verdicts[-2].rule == "upstreams.jquants.local_answers[1]"


def test_each_rule_of_inject_says_what_it_sets_or_why_not(many: Settings) -> None:
    told = told_of(many, "GET /cookies/a?k=mine", "Authorization: Bearer mine", "Cookie: a=b")
    header, query, body = told.injections
    assert (header.applies, header.sets, header.removes_own) == (
        True,
        "header Authorization: Bearer ***",
        True,
    )
    assert (query.applies, query.removes_own) == (False, True)
    assert "/other" in (query.why or "")
    assert "a GET request has no content" in (body.why or "")
    assert [one.name for one in told.removed] == ["Cookie"]
    assert told.request is not None
    assert told.request.url == "https://cookies.example/a"


@pytest.mark.parametrize(
    ("format_", "shown"),
    [
        ("Bearer {token}", "Bearer ***"),
        ("{token}", "***"),
        ("bot{token}", "bot***"),
        ("Token token={token}", "Token ***"),
        ("pin4711{token}", "***"),
        ("secret{token}", "***"),
        ("{token}:word", "***"),
        ("word", "***"),
    ],
)
def test_of_a_format_no_more_is_shown_than_a_scheme(
    many: Settings, format_: str, shown: str
) -> None:
    rule = many.upstreams["own"].inject[0].model_copy(update={"format": format_})
    upstream = many.upstreams["own"].model_copy(update={"inject": (rule,)})
    told = told_of(many.model_copy(update={"upstreams": {"own": upstream}}), "GET /own/a")
    assert told.request is not None
    assert ("Authorization", shown) in told.request.fields


def test_what_a_rejection_leads_to_depends_on_the_provider(many: Settings) -> None:
    said = {name: told_of(many, f"GET /{name}/a").rejection or "" for name in many.upstreams}
    assert "renewed" in said["jquants"]
    assert "no other key" in said["own"]
    assert "next key" in said["cookies"]


def test_the_clients_own_secrets_are_not_shown(many: Settings) -> None:
    told = told_of(
        many, "GET /own/a?api_key=canary-q&b=c", "X-Auth-Token: canary-t", "X-B: canary-k"
    )
    assert told.request is not None
    assert told.request.url == "https://own.example/a?api_key=***&b=c"
    assert ("X-Auth-Token", "***") in told.request.fields
    assert ("X-B", "***") in told.request.fields


@pytest.mark.parametrize(
    ("beginning", "conditions"),
    [
        ("", ()),
        (KEYS, ("its content holds one of clients.keys, in the credential's place",)),
    ],
)
async def test_a_local_answer_depends_on_no_limit_of_the_upstream(
    tmp_path: Path, beginning: str, conditions: tuple[str, ...]
) -> None:
    more = (
        "  limits: {rate: 1/h, concurrency: 1, content: 1KiB}\n"
        "  local_answers: [{paths: [/v1/token], json: {token: made-up}}]\n"
    )
    content = json.dumps({"i": PHANTOM}).encode()
    case = Case("POST /r/token", (JSON,), content)
    text = KEYED.replace("ORIGIN", "http://127.0.0.1:9") + more + rules("in: body, name: i")
    async with sidekey(tmp_path, text, beginning=BEGINNING + beginning) as proxy:
        told = await explained(tmp_path, proxy, case, proxy.host)
        assert [(await answered(case, proxy.host)).status for _ in range(3)] == [200] * 3
    assert told.outcome == "answered"
    assert told.conditions == conditions


def test_what_cannot_be_checked_is_told_as_a_condition(tmp_path: Path) -> None:
    path = tmp_path / "sidekey.yaml"
    more = "  limits: {rate: 10/m, concurrency: 2, content: 1KiB}\n" + rules("in: body, name: i")
    path.write_text(
        f"{KEYS}upstreams:\n" + indent(KEYED.replace("ORIGIN", "http://a") + more, "  ")
    )
    path.chmod(0o600)
    settings = load(path, environ={}).settings
    told = told_of(settings, "POST /r/a", JSON)
    assert told.outcome == "sent"
    said = "\n".join(told.conditions)
    for condition in (
        "clients.keys",
        "limits.rate",
        "2 requests",
        "1024 bytes",
        "what its type says",
    ):
        assert condition in said
