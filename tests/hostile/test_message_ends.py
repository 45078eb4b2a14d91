"""Group F, where a request ends: what follows it, what is missing, and who waits for what."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from framing_outcomes import CHUNKED, fate, outcome, post
from hostile_harness import Hostile
from raw_client import chunked, message
from raw_upstream import response
from strict_upstream import StrictRequest


@pytest.mark.case("F15")
async def test_a_flood_of_chunk_extensions_is_refused_or_costs_no_memory(hostile: Hostile) -> None:
    """8 MiB of them, on a thousand chunks."""
    chunk = b"1;a=" + b"x" * 8192 + b"\r\na\r\n"
    async with hostile.connect() as client:
        tracemalloc.start()
        try:
            await client.send(post(hostile, CHUNKED))
            for _ in range(1000):
                await client.send(chunk)
            await client.send(b"0\r\n\r\n")
        except ConnectionError:
            pass  # refused while it was still being sent
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peak < 4 * 2**20
    assert [r.content for r in hostile.arrived if r.complete] in ([], [b"a" * 1000])


@pytest.mark.case("F16")
@pytest.mark.parametrize("name", ["Authorization", "Host", "X-Sum", "Cookie", "x-api-key"])
async def test_trailers_never_reach_the_upstream(hostile: Hostile, name: str) -> None:
    """The oracles look for trailers too, and for a second credential."""
    content = b"1\r\na\r\n0\r\n" + name.encode() + b": dummy\r\n\r\n"
    answer = await hostile.send(post(hostile, CHUNKED, b"Trailer: X-Sum", content=content))
    assert answer.status == 200
    assert [r.content for r in hostile.arrived] == [b"a"]
    assert b"dummy" not in hostile.upstream.connections[0]


@pytest.mark.case("F16")
@pytest.mark.parametrize("trailer", [b"Content-Length: 1", b"Transfer-Encoding: chunked"])
async def test_a_trailer_about_framing_is_refused(hostile: Hostile, trailer: bytes) -> None:
    content = b"1\r\na\r\n0\r\n" + trailer + b"\r\n\r\n"
    answer = await hostile.send(post(hostile, CHUNKED, content=content))
    assert answer.status == 400
    assert [r for r in hostile.arrived if r.complete] == []


@pytest.mark.case("F17")
async def test_a_hundred_pipelined_requests_get_their_answers_in_order(hostile: Hostile) -> None:
    def answer(request: StrictRequest) -> bytes:
        return response("200 OK", request.target.encode())

    hostile.upstream.answer = answer
    sent = [message(f"GET /r/{n}", host=hostile.proxy.host) for n in range(100)]
    async with hostile.connect() as client:
        await client.send(b"".join(sent))
        answers = [(await client.answer()).content.decode() for _ in sent]
    assert answers == [f"/base/v1/{n}" for n in range(100)]
    assert [request.target for request in hostile.arrived] == answers
    hostile.upstream.answer = lambda request: response("200 OK", b"ok")


SMUGGLERS = [
    (b"Content-Length: 3", CHUNKED),
    (b"Content-Length: 3", b"Content-Length: 4"),
    (b"Content-Length: +3",),
    (b"Transfer-Encoding: xchunked",),
    (b"Transfer-Encoding: gzip, chunked",),
    (CHUNKED, b"X : 1"),
    (CHUNKED, b": 1"),
    (CHUNKED, b"X: a\0b"),
    (CHUNKED, b"Host: evil.example"),
    (CHUNKED, b"Expect: teapot"),
]


@pytest.mark.case("F18")
async def test_nothing_behind_a_malformed_request_is_read_as_a_request(hostile: Hostile) -> None:
    second = message("GET /r/smuggled", host=hostile.proxy.host)
    content = b"0\r\n\r\n" + second
    for fields in SMUGGLERS:
        result = await outcome(hostile, post(hostile, *fields, content=content))
        assert result.startswith(("400 bad-message", "501 bad-message", "417 bad-message")), fields
        assert result.endswith(", closed"), fields
    assert hostile.upstream.connections == []


@pytest.mark.case("F18")
@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("POST /nope/a", []),
        ("POST /r/%2e%2e/a", []),
        ("POST /r/a", ["Origin: https://evil.example"]),
        ("POST /r/a", ["X-Forwarded-For: 1.2.3.4"]),
        ("TRACE /r/a", []),
    ],
)
async def test_the_content_of_a_refused_request_is_never_read_as_a_request(
    hostile: Hostile, line: str, fields: list[str]
) -> None:
    content = message("GET /r/smuggled", host=hostile.proxy.host)
    async with hostile.connect() as client:
        length = f"Content-Length: {len(content)}"
        await client.send(message(line, *fields, length, host=hostile.proxy.host))
        assert 400 <= (await client.answer()).status < 500
        await client.send(content)
        assert await fate(client) in ("open", "closed")
    assert hostile.upstream.connections == []


@pytest.mark.case("F19")
async def test_what_follows_the_declared_content_is_the_next_request(hostile: Hostile) -> None:
    first = post(hostile, b"Content-Length: 3", content=b"abc")
    async with hostile.connect() as client:
        await client.send(first + message("GET /r/second", host=hostile.proxy.host))
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
    assert [(r.path, r.content) for r in hostile.arrived] == [
        ("/base/v1/a", b"abc"),
        ("/base/v1/second", b""),
    ]


@pytest.mark.case("F19")
@pytest.mark.parametrize("more", [b"def", b"\0", b" ", b"X: 1\r\n\r\n"])
async def test_what_follows_the_declared_content_is_never_part_of_it(
    hostile: Hostile, more: bytes
) -> None:
    async with hostile.connect() as client:
        await client.send(post(hostile, b"Content-Length: 3", content=b"abc" + more))
        client.writer.write_eof() if more == b"def" else await client.send(b"\r\n\r\n")
        await client.reader.read()
    assert [r.content for r in hostile.arrived if r.complete] in ([], [b"abc"])
    assert all(r.content == b"abc" for r in hostile.arrived)


@pytest.mark.case("F20")
@pytest.mark.parametrize(
    ("field", "content"),
    [
        (b"Content-Length: 10", b"abc"),
        (CHUNKED, b"5\r\nabc"),
        (CHUNKED, b"3\r\nabc\r\n"),
        (CHUNKED, b""),
    ],
)
async def test_content_that_is_cut_short_never_ends_properly_at_the_upstream(
    hostile: Hostile, field: bytes, content: bytes
) -> None:
    async with hostile.connect() as client:
        await client.send(post(hostile, field, content=content))
        await asyncio.sleep(0.1)  # the upstream has the beginning by now
        client.writer.write_eof()
        assert b" 200 " not in await client.reader.read()
    assert len(hostile.arrived) <= 1, "it was sent again"
    assert [r for r in hostile.arrived if r.complete] == []


@pytest.mark.case("F20")
async def test_content_that_is_cut_short_and_has_to_be_read_whole_goes_nowhere(
    hostile: Hostile,
) -> None:
    fields = ("Content-Type: application/json", "Content-Length: 10")
    async with hostile.connect() as client:
        sent = message("POST /j/a", *fields, content=b'{"a":1}', host=hostile.proxy.host)
        await client.send(sent)
        client.writer.write_eof()
        assert b" 200 " not in await client.reader.read()
    assert hostile.upstream.connections == []


@pytest.mark.case("F21")
@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("POST /nope", [], 404),
        ("POST /r/%2e%2e/a", [], 400),
        ("TRACE /r/a", [], 405),
        ("POST /r/a", ["Origin: https://evil.example"], 403),
        ("POST /r/a", ["Via: 1.1 evil.example"], 403),
        ("POST /r/a", ["Transfer-Encoding: gzip, chunked"], 501),
        ("POST /t/oauth/token", [], 403),
        ("POST /j/a", ["Content-Type: text/plain"], 415),
        ("POST /j/a", ["Content-Type: application/json", "Content-Length: 2000000"], 413),
    ],
)
async def test_a_refused_request_gets_no_100(
    hostile: Hostile, line: str, fields: list[str], status: int
) -> None:
    if not any("Length" in field or "Transfer" in field for field in fields):
        fields = [*fields, "Content-Length: 3"]
    answer = await hostile.ask(line, "Expect: 100-continue", *fields)
    assert answer.status == status
    assert b"100 Continue" not in hostile.received
    assert hostile.upstream.connections == []


@pytest.mark.case("F21")
async def test_a_100_comes_when_every_check_has_passed(hostile: Hostile) -> None:
    async with hostile.connect() as client:
        await client.send(post(hostile, b"Expect: 100-Continue", b"Content-Length: 3"))
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert (await client.answer()).status == 200
    assert [request.content for request in hostile.arrived] == [b"abc"]


@pytest.mark.case("F22")
@pytest.mark.parametrize("value", [b"teapot", b"100-continue, teapot", b"100", b"100-continue;a=b"])
async def test_an_unknown_expectation_is_417(hostile: Hostile, value: bytes) -> None:
    sent = post(hostile, b"Expect: " + value, b"Content-Length: 3", content=b"abc")
    assert (await outcome(hostile, sent)).startswith("417 bad-message")
    assert hostile.upstream.connections == []


@pytest.mark.case("F23")
@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
async def test_content_where_none_is_usual_is_framed_as_it_came(
    hostile: Hostile, method: str
) -> None:
    smuggled = message("GET /r/smuggled", host=hostile.proxy.host)
    assert (await hostile.ask(f"{method} /r/a", content=smuggled)).status == 200
    coding = "Transfer-Encoding: chunked"
    assert (await hostile.ask(f"{method} /r/b", coding, content=chunked(smuggled))).status == 200
    assert [(r.method, r.path, r.content) for r in hostile.arrived] == [
        (method, "/base/v1/a", smuggled),
        (method, "/base/v1/b", smuggled),
    ]
    assert [r.field("Content-Length") for r in hostile.arrived] == [[str(len(smuggled))], []]
