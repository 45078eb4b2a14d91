"""Clients that have to show who they are: a shared header, or a phantom key in the key's place."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from gateway_samples import BEARER, KEY, keyed
from proxying import BEGINNING, sidekey
from raw_client import RawAnswer, ask, check_problem, chunked, message, raw_client
from raw_upstream import OK, Conversation, RawUpstream, answering, conversing, response

from proxy.errors import ListenError

PHANTOM = "phantom-key-of-the-agent"
HEADER = "Sidekey-Client: shared-by-the-clients"
KEYS = BEGINNING + f"clients: {{keys: [another-phantom-key, {PHANTOM}]}}\n"
SHARED = BEGINNING + "clients: {header: {value: shared-by-the-clients}}\n"
BOTH = BEGINNING + f"clients: {{keys: {PHANTOM}, header: {{value: shared-by-the-clients}}}}\n"
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
MEMORY = "store: {type: memory}\n"
PARTS = "Content-Type: multipart/form-data; boundary=x"


def part(name: str, value: str) -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


async def answered(
    folder: Path,
    beginning: str,
    rule: str,
    line: str,
    *fields: str,
    content: bytes = b"",
    more: str = "",
) -> tuple[RawAnswer, RawUpstream]:
    """Send one request through an upstream with one rule."""
    async with (
        answering() as upstream,
        sidekey(
            folder, keyed(upstream.origin, more=f"inject: {rule}\n{more}"), beginning=beginning
        ) as proxy,
    ):
        return await ask(proxy, line, *fields, content=content), upstream


@pytest.mark.parametrize(
    "field",
    [
        f"Authorization: Bearer {PHANTOM}",
        f"authorization: bearer {PHANTOM}",
        f"Authorization: {PHANTOM}",
        "Authorization: Bearer another-phantom-key",
    ],
)
async def test_a_phantom_key_in_the_keys_place_is_replaced_by_it(
    tmp_path: Path, field: str
) -> None:
    rule = '{in: header, name: Authorization, format: "Bearer {token}"}'
    answer, upstream = await answered(tmp_path, KEYS, rule, "GET /r/a", field)
    assert answer.status == 200
    assert upstream.last.field("Authorization") == [BEARER]


@pytest.mark.parametrize(
    ("line", "fields", "content"),
    [
        (f"GET /r/a?q=1&key={PHANTOM}", [], b""),
        ("GET /r/a", [f"Authorization: Bearer {PHANTOM}"], b""),
    ],
)
async def test_a_phantom_key_in_the_query_is_replaced(
    tmp_path: Path, line: str, fields: list[str], content: bytes
) -> None:
    rule = "{in: query, name: key}"
    answer, upstream = await answered(tmp_path, KEYS, rule, line, *fields, content=content)
    assert answer.status == 200
    assert upstream.last.target.endswith(f"key={KEY}")
    assert PHANTOM.encode() not in upstream.last.head


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (JSON, json.dumps({"text": "hi", "i": PHANTOM}).encode()),
        (FORM, f"text=hi&i={PHANTOM}".encode()),
        (PARTS, part("i", PHANTOM) + part("file", "x" * 300_000) + b"--x--\r\n"),
        (PARTS, part("text", "hi") + part("i", PHANTOM) + b"--x--\r\n"),
    ],
)
async def test_a_phantom_key_in_the_content_is_replaced(
    tmp_path: Path, kind: str, content: bytes
) -> None:
    answer, upstream = await answered(
        tmp_path, KEYS, "{in: body, name: i}", "POST /r/a", kind, content=content
    )
    assert answer.status == 200
    assert KEY.encode() in upstream.last.content
    assert PHANTOM.encode() not in upstream.last.content


async def test_a_phantom_key_is_found_in_parts_that_come_in_drips(tmp_path: Path) -> None:
    content = part("i", PHANTOM) + part("file", "x" * 1000) + b"--x--\r\n"
    drips = chunked(*(content[at : at + 7] for at in range(0, len(content), 7)))
    rule = "{in: body, name: i}"
    fields = [PARTS, "Transfer-Encoding: chunked"]
    answer, upstream = await answered(tmp_path, KEYS, rule, "POST /r/a", *fields, content=drips)
    assert answer.status == 200
    assert upstream.last.content.count(KEY.encode()) == 1
    assert b"x" * 1000 in upstream.last.content


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (JSON, b'{"i": "phantom-key-of-the-agenT"}'),
        (JSON, b'{"i": 5}'),
        (JSON, b'{"i": "\xff"}'),
        (JSON, b'{"\xff": 1}'),
        (FORM, b"i=&" * 50_000 + b"i=phantom-key-of-the-agent"),
        (JSON, b'{"x": {"i": "phantom-key-of-the-agent"}}'),
        (JSON, b"nonsense"),
        (FORM, b"x=phantom-key-of-the-agent"),
        (PARTS, part("x", PHANTOM) + b"--x--\r\n"),
        (PARTS, part("file", "x" * 300_000) + part("i", PHANTOM) + b"--x--\r\n"),
        ("Content-Type: text/plain", PHANTOM.encode()),
    ],
)
async def test_content_without_a_key_in_its_place_never_reaches_the_upstream(
    tmp_path: Path, kind: str, content: bytes
) -> None:
    answer, upstream = await answered(
        tmp_path, KEYS, "{in: body, name: i}", "POST /r/a", kind, content=content
    )
    assert (answer.status, answer.field("Sidekey-Error")) == (401, ["client-key-required"])
    assert "upstream" not in answer.json()
    assert upstream.connections == 0


async def test_a_key_beyond_the_64_kib_does_not_count_however_the_content_arrives(
    tmp_path: Path,
) -> None:
    """All of it is here before anybody looks, since the request before it takes a while."""

    async def converse(peer: Conversation) -> None:
        while True:
            await peer.request()
            await asyncio.sleep(0.2)
            await peer.send(OK)

    content = part("file", "x" * 100_000) + part("i", PHANTOM) + b"--x--\r\n"
    async with conversing(converse) as upstream:
        more = "inject: {in: body, name: i}"
        async with (
            sidekey(tmp_path, keyed(upstream.origin, more=more), beginning=KEYS) as proxy,
            raw_client(proxy.place) as client,
        ):
            known = b'{"i": "%b"}' % PHANTOM.encode()
            for kind, body in ((JSON, known), (PARTS, content)):
                fields = (kind, f"Content-Length: {len(body)}")
                await client.send(message("POST /r/a", *fields, content=body, host=proxy.host))
            assert [(await client.answer()).status for _ in range(2)] == [200, 401]


@pytest.mark.parametrize(
    ("line", "length", "status"),
    [("POST /r/denied", 10, 403), ("POST /r/a", 2000, 413), ("POST /r/a", 2**21, 413)],
)
async def test_content_is_invited_only_where_it_may_go(
    tmp_path: Path, line: str, length: int, status: int
) -> None:
    """Whoever may call shows it in the content, which all other checks come before."""
    rule = "{in: body, name: i}"
    more = "deny: [{paths: [/denied]}]\nlimits: {content: 1kB}"
    fields = [JSON, "Expect: 100-continue", f"Content-Length: {length}"]
    answer, upstream = await answered(tmp_path, KEYS, rule, line, *fields, more=more)
    assert answer.status == status
    assert upstream.connections == 0


async def test_a_key_in_content_counts_only_where_a_rule_replaces_it(tmp_path: Path) -> None:
    """Elsewhere it would go to the upstream as it stands."""
    rules = "[{in: header, name: X-Key}, {in: body, name: i, paths: [/api/**]}]"
    content = json.dumps({"i": PHANTOM}).encode()
    for line in ("POST /r/other", "GET /r/api/x"):
        answer, upstream = await answered(tmp_path, KEYS, rules, line, JSON, content=content)
        assert answer.status == 401
        assert upstream.connections == 0


async def test_parts_that_come_at_once_arrive_whole(tmp_path: Path) -> None:
    """A reading may bring more than what is kept for a replay."""
    content = part("i", PHANTOM) + part("file", "x" * 2_000_000) + b"--x--\r\n"
    rule = "{in: body, name: i}"
    for fields in ([PARTS], [PARTS, "Transfer-Encoding: chunked"]):
        sent = chunked(content) if len(fields) > 1 else content
        answer, upstream = await answered(tmp_path, KEYS, rule, "POST /r/a", *fields, content=sent)
        assert answer.status == 200
        assert len(upstream.last.content) >= 2_000_000


async def test_strangers_share_a_bounded_memory_and_others_go_on(tmp_path: Path) -> None:
    more = "inject: {in: body, name: i}"
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more), beginning=KEYS) as proxy,
        AsyncExitStack() as stack,
    ):
        host = f"Host: localhost:{proxy.port}"
        head = f"POST /r/a HTTP/1.1\r\n{host}\r\n{JSON}\r\nContent-Length: 1000000\r\n\r\n"
        for _ in range(20):
            stranger = await stack.enter_async_context(raw_client(proxy.port))
            await stranger.send(head.encode() + b"{")
        refused = await stranger.answer()
        known = await ask(proxy, "POST /r/a", JSON, f"Authorization: {PHANTOM}", content=b"{}")
    check_problem(refused, 503, "too-many-requests")
    assert known.status == 200


async def test_a_policy_for_a_clients_own_credential_does_not_mean_phantom_keys(
    tmp_path: Path,
) -> None:
    """With `pass` it would go to the upstream, with `reject` no SDK could call."""
    rule = '{in: header, name: Authorization, format: "Bearer {token}"}'
    for policy in ("pass", "reject"):
        answer, upstream = await answered(
            tmp_path,
            BOTH,
            rule,
            "GET /r/a",
            f"Authorization: Bearer {PHANTOM}",
            HEADER,
            more=f"client_credential: {policy}",
        )
        assert answer.status == 200
        assert upstream.last.field("Authorization") == [BEARER]


@pytest.mark.parametrize("beginning", [SHARED, BOTH])
async def test_the_shared_header_lets_in_and_stays_here(tmp_path: Path, beginning: str) -> None:
    answer, upstream = await answered(
        tmp_path, beginning, "{in: header, name: X-Api-Key}", "GET /r/a", HEADER
    )
    assert answer.status == 200
    assert upstream.last.field("Sidekey-Client") == []
    assert b"shared-by" not in upstream.last.head


async def test_without_the_shared_header_open_pages_are_served_and_tell_what_to_send(
    tmp_path: Path,
) -> None:
    """A browser that opens a page, and a probe of a container, can send no field."""
    browser = ("Accept: text/html,application/xhtml+xml", "Sec-Fetch-Mode: navigate")
    opened = (*browser, "Sec-Fetch-Site: none")
    async with answering() as upstream:
        async with sidekey(tmp_path, keyed(upstream.origin), beginning=SHARED) as proxy:
            about = "problems/client-header-required"
            for path in ("", "static/main.js", "docs/", about):
                assert (await ask(proxy, f"GET /_sidekey/{path}", *opened)).status == 200
            assert (await ask(proxy, "GET /_sidekey/healthz")).status == 200
            assert (await ask(proxy, "GET /", *opened)).field("Location") == ["/_sidekey/"]
            overview = "GET /_sidekey/api/overview"
            refused = await ask(proxy, overview)
            assert (refused.status, refused.json()["header"]) == (412, "Sidekey-Client")
            assert (await ask(proxy, overview, HEADER)).status == 200
            assert (await ask(proxy, "GET /_sidekey/metrics")).status == 412
        assert upstream.connections == 0


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ((), "clients have to show X-Who: the request has none"),
        (("X-Who: shared-by-the-client",), "X-Who has another value than clients.header"),
        (("X-Who:",), "X-Who has another value than clients.header"),
        (("X-Who: shared-by-the-clients",) * 2, "the request has more than one X-Who"),
    ],
)
async def test_who_shows_no_shared_header_is_told_which_one_and_why(
    tmp_path: Path, fields: tuple[str, ...], detail: str
) -> None:
    beginning = SHARED.replace("value", "name: X-Who, value")
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=beginning) as proxy,
    ):
        problem = (await ask(proxy, "GET /r/a", *fields)).json()
    assert (problem["detail"], problem["header"]) == (detail, "X-Who")
    assert problem["fix"] == "send X-Who once, with the value of clients.header"


async def test_where_a_key_would_do_nobody_is_told_of_the_header(tmp_path: Path) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=BOTH) as proxy,
    ):
        refused = await ask(proxy, "GET /_sidekey/api/overview")
    assert (refused.status, refused.field("Sidekey-Error")) == (401, ["client-key-required"])
    assert "header" not in refused.json()


async def test_a_page_of_an_allowed_origin_may_call_and_read(tmp_path: Path) -> None:
    origin = "http://localhost:5173"
    beginning = BEGINNING.replace("port: 0", f"port: 0, allowed_origins: ['{origin}']")
    varying = response("200 OK", b"", "Vary: Accept")
    async with (
        answering(varying) as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=beginning) as proxy,
    ):
        asking = ["Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-a"]
        allowed = await ask(proxy, "OPTIONS /r/a", f"Origin: {origin}", *asking)
        assert upstream.connections == 0
        answer = await ask(proxy, "GET /r/a", f"Origin: {origin}", "Sec-Fetch-Site: same-site")
        problem = await ask(proxy, "GET /nope", f"Origin: {origin}")
        other = await ask(proxy, "GET /r/a", "Origin: http://localhost:5174")
    assert (allowed.status, answer.status, problem.status, other.status) == (204, 200, 404, 403)
    assert allowed.field("Access-Control-Allow-Methods") == ["PUT"]
    assert allowed.field("Access-Control-Allow-Headers") == ["x-a"]
    for readable in (allowed, answer, problem):
        assert readable.field("Access-Control-Allow-Origin") == [origin]
    assert other.field("Access-Control-Allow-Origin") == []
    assert answer.field("Vary") == ["Accept", "Origin"]
    assert upstream.last.field("Origin") == []


async def test_a_page_of_our_own_origin_may_call(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        fields = [f"Origin: http://127.0.0.1:{proxy.port}", "Sec-Fetch-Site: same-origin"]
        assert (await ask(proxy, "POST /r/a", *fields)).status == 200


async def test_users_are_named_only_where_the_kernel_tells_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS: the socket would be open to everyone."""
    monkeypatch.delattr("socket.SO_PEERCRED")
    beginning = f"listen: {{unix_socket: {tmp_path}/s.sock, allowed_uids: [1]}}\n{MEMORY}"
    with pytest.raises(ListenError, match="allowed_uids"):
        async with sidekey(tmp_path, keyed("http://127.0.0.1:9"), beginning=beginning):
            pass
    assert not (tmp_path / "s.sock").exists()


@pytest.mark.parametrize("line", ["OPTIONS http://evil.example/", "OPTIONS *", "GET http://x/r/a"])
async def test_the_target_is_looked_at_before_the_page_behind_it(tmp_path: Path, line: str) -> None:
    origin = "http://localhost:5173"
    beginning = BEGINNING.replace("port: 0", f"port: 0, allowed_origins: ['{origin}']")
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=beginning) as proxy,
    ):
        asking = "Access-Control-Request-Method: PUT"
        allowed = await ask(proxy, line, f"Origin: {origin}", asking)
        foreign = await ask(proxy, line, "Origin: http://evil.example", asking)
    assert (allowed.status, foreign.status) == (400, 400)
