"""Redirects: clients follow them or do not; sidekey never does."""

from __future__ import annotations

from pathlib import Path

import pytest
from faulty import answer_of, facing, saying
from gateway_samples import tokened
from hostile_fixtures import Attack
from issuing import Issuer, to_the_api
from proxying import sidekey
from raw_client import ask, check_problem
from raw_upstream import RawRequest, answering, conversing, response

STATUSES = [301, 302, 303, 307, 308]
JSON = "Content-Type: application/json"


@pytest.mark.case("R01")
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("GET /r/a", ""),
        ("GET /r/a", 'inject: {in: header, name: X-Api-Key, format: "{token}"}'),
        ("GET /q/a", ""),
        ("POST /j/a", ""),
    ],
    ids=["Authorization", "X-Api-Key", "query", "content"],
)
async def test_a_redirect_to_another_origin_is_passed_and_never_followed(
    attack: Attack, line: str, more: str, status: int
) -> None:
    """Surprise 19: X-Api-Key, unlike Authorization, would go along to the other host."""
    content = b"{}" if line.startswith("POST") else b""
    async with answering() as elsewhere:
        location = f"{elsewhere.origin}/b?c=%7E"
        sent = saying(response(f"{status} Moved", b"", f"Location: {location}"))
        async with facing(attack, conversing(sent), more=more) as (hostile, upstream):
            answer = await hostile.ask(line, JSON, content=content)
            assert upstream.connections == 1
    assert (answer.status, answer.field("Location")) == (status, [location])
    assert elsewhere.connections == 0


@pytest.mark.case("R02")
@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("{origin}/base/v1/b%20c?d=%7E#e", "/r/b%20c?d=%7E#e"),
        ("{origin}/base/v1", "/r"),
        ("/base/v1/b", "/r/b"),
        ("//{authority}/base/v1/b", "/r/b"),
        ("/base/v1//b.example", "/r//b.example"),
        ("b/c", "b/c"),
        ("?page=2", "?page=2"),
    ],
)
async def test_a_redirect_within_the_upstream_leads_to_the_local_route(
    attack: Attack, sent: str, received: str, field: str
) -> None:
    def answer(request: RawRequest) -> bytes:
        authority = request.field("Host")[0]
        location = sent.format(origin=f"http://{authority}", authority=authority)
        return response("302 Found", b"", f"{field}: {location}")

    async with facing(attack, answering(answer)) as (hostile, upstream):
        assert (await hostile.ask("GET /r/a")).field(field) == [received]
        assert len(upstream.requests) == 1


@pytest.mark.case("R03")
@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/base/v1/a",
        "https://127.0.0.1:1/base/v1/a",
        "//evil.example/a",
        "///evil.example/a",
        "/\\evil.example/a",
        "\\\\evil.example\\a",
        "javascript:alert(1)",
        "data:text/html,<script>",
        "file:///etc/passwd",
        "http://me:secret@127.0.0.1/base/v1/a",
        "/base/v1/../admin",
        "/base/v1/%2e%2e/admin",
        "/base/v1evil/a",
        "/outside",
        "http://[",
        "",
    ],
)
async def test_a_redirect_to_a_strange_place_is_only_text(attack: Attack, location: str) -> None:
    """It leads nobody to another route, and the answer cannot run anything."""
    fields = (f"Location: {location}", "Content-Type: text/html")
    sent = saying(response("302 Found", b"<script>", *fields))
    async with facing(attack, conversing(sent)) as (hostile, upstream):
        answer = await hostile.ask("GET /r/a")
        assert answer.field("Location") == [location]
        assert answer.field("Content-Security-Policy") == ["sandbox; default-src 'none'"]
        assert upstream.connections == 1


@pytest.mark.case("R03")
async def test_a_line_break_in_a_redirect_is_502(attack: Attack) -> None:
    sent = b"HTTP/1.1 302 Found\r\nLocation: /a\rSet-Cookie: b=c\r\nContent-Length: 0\r\n\r\n"
    check_problem(await answer_of(saying(sent), attack), 502, "upstream-unreachable")


@pytest.mark.case("R04")
@pytest.mark.parametrize("status", STATUSES)
async def test_a_redirect_of_a_token_endpoint_is_a_failure_and_posts_nothing_again(
    tmp_path: Path, status: int
) -> None:
    async with answering() as elsewhere:
        moved = response(f"{status} Moved", b"", f"Location: {elsewhere.origin}/oauth/token")
        async with (
            answering(Issuer(token_answer=moved)) as upstream,
            sidekey(tmp_path, tokened(upstream.origin, upstream.origin)) as proxy,
        ):
            answer = await ask(proxy, "GET /r/a")
            assert answer.status == 502
            assert answer.field("Sidekey-Error")[0] in (
                "grant-rejected",
                "token-endpoint-unreachable",
            )
            assert "canary" not in answer.content.decode()
    assert elsewhere.connections == 0
    assert [request.target for request in upstream.requests] == ["/oauth/token"]
    assert to_the_api(upstream.requests) == []
