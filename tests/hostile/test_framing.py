"""Group F: where a request begins and ends, and who might think otherwise (RFC 9112)."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import Iterable, Mapping

import pytest
from hostile_harness import Hostile
from obfuscated_codings import obfuscated_codings
from raw_client import RawClient, chunked, message
from raw_upstream import response
from strict_upstream import StrictRequest

OPEN = 1.0  # seconds after an answer until a connection counts as left open
REFUSED = "400 bad-message, closed"
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"1\r\na\r\n0\r\n\r\n"
CONTROLS = [bytes([n]) for n in (*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)]


def post(hostile: Hostile, *fields: bytes, content: bytes = b"", version: bytes = b"1.1") -> bytes:
    """Return a request to `/r/a` in bytes, with nothing added but Host."""
    lines = [b"POST /r/a HTTP/" + version, b"Host: " + hostile.proxy.host.encode(), *fields]
    return b"\r\n".join([*lines, b"", b""]) + content


async def outcome(hostile: Hostile, sent: bytes) -> str:
    """Return the first answer in short, and what became of the connection."""
    async with hostile.connect() as client:
        await client.send(sent)
        answer = await client.answer(sent.partition(b" ")[0].decode("latin-1"))
        slug = "".join(answer.field("Sidekey-Error")) or "passed"
        return f"{answer.status} {slug}, {await fate(client)}"


async def fate(client: RawClient) -> str:
    """Tell what follows an answer: nothing (`open`), the end (`closed`), or a second answer."""
    try:
        rest = await asyncio.wait_for(client.reader.read(100), OPEN)
    except TimeoutError:
        return "open"
    except ConnectionError:
        return "closed"
    return "and more" if rest else "closed"


async def check_refused(
    hostile: Hostile, sent: Mapping[str, bytes], expected: str = REFUSED
) -> None:
    """Send each of `sent` over a connection of its own; not a byte may reach the upstream."""
    outcomes = {name: await outcome(hostile, request) for name, request in sent.items()}
    assert outcomes == dict.fromkeys(sent, expected)
    assert hostile.upstream.connections == []


async def everything(hostile: Hostile, sent: bytes) -> list[int]:
    """Return the statuses of all answers to what a client sends that sends nothing more."""
    async with hostile.connect() as client:
        await client.send(sent)
        first = await client.answer()
        rest = b""
        with contextlib.suppress(OSError):  # the connection is closed already
            client.writer.write_eof()
            rest = await client.reader.read()
    return [first.status, *(int(line.split()[1]) for line in rest.split(b"HTTP/1.1")[1:])]


def by_fields(hostile: Hostile, *cases: Iterable[bytes]) -> dict[str, bytes]:
    """Return requests with chunks behind them, by the fields that each of them has."""
    return {repr(list(fields)): post(hostile, *fields, content=CHUNKS) for fields in cases}


@pytest.mark.case("F01")
async def test_a_length_besides_chunks_is_refused(hostile: Hostile) -> None:
    length = b"Content-Length: 11"
    cases = by_fields(
        hostile,
        (length, CHUNKED),
        (CHUNKED, length),
        (b"Content-Length: 0", CHUNKED),
        (length, b"Transfer-Encoding: identity"),
        (length, b"X: 1", b"transfer-encoding: CHUNKED"),
    )
    await check_refused(hostile, cases)


@pytest.mark.case("F02")
async def test_a_length_that_is_said_twice_is_refused(hostile: Hostile) -> None:
    cases = by_fields(
        hostile,
        (b"Content-Length: 11", b"Content-Length: 11"),
        (b"Content-Length: 11", b"X: 1", b"content-length: 11"),
    )
    await check_refused(hostile, cases)


@pytest.mark.case("F03")
async def test_two_lengths_are_refused(hostile: Hostile) -> None:
    cases = by_fields(
        hostile,
        (b"Content-Length: 11", b"Content-Length: 0"),
        (b"Content-Length: 0", b"Content-Length: 11"),
        (b"Content-Length: 11", b"Content-Length:"),
    )
    await check_refused(hostile, cases)


@pytest.mark.case("F04")
async def test_a_length_that_is_no_number_is_refused(hostile: Hostile) -> None:
    values = [b"1, 1", b"11, 11", b"+1", b"-1", b"1_0", b"0x1", b"1 1", b"1.0", b"1e1", b"a", b""]
    values += [b"%d" % 2**64, b"9" * 40, b"\xef\xbc\x91", b"\xb2", b"1\x0b", b'"1"', b"1;"]
    fields = [(b"Content-Length: " + value,) for value in values]
    await check_refused(hostile, by_fields(hostile, *fields))


@pytest.mark.case("F04")
@pytest.mark.parametrize("value", ["1 ", "1\t", "  1", "01"])
async def test_a_length_between_spaces_or_behind_zeros_is_a_number(
    hostile: Hostile, value: str
) -> None:
    answer = await hostile.send(post(hostile, f"Content-Length: {value}".encode(), content=b"a"))
    assert answer.status == 200
    assert [(r.content, r.field("Content-Length")) for r in hostile.arrived] == [(b"a", ["1"])]


@pytest.mark.case("F05")
async def test_unknown_transfer_codings_are_refused(hostile: Hostile) -> None:
    values = [b"xchunked", b"chunkedx", b"identity", b"chunked, identity", b"chunked, chunked"]
    values += [
        b"chunked;q=1",
        b'"chunked"',
        b"",
        b"chunked,",
        b",chunked",
        b"gzip",
        b"chunked gzip",
    ]
    fields = [(b"Transfer-Encoding: " + value,) for value in values]
    cases = by_fields(hostile, *fields)
    outcomes = {name: await outcome(hostile, sent) for name, sent in cases.items()}
    assert set(outcomes.values()) <= {REFUSED, "501 bad-message, closed"}, outcomes
    assert hostile.upstream.connections == []


@pytest.mark.case("F06")
async def test_a_transfer_coding_that_is_said_twice_is_refused(hostile: Hostile) -> None:
    cases = by_fields(
        hostile,
        (CHUNKED, CHUNKED),
        (CHUNKED, b"transfer-encoding: chunked"),
        (CHUNKED, b"Transfer-Encoding: identity"),
    )
    await check_refused(hostile, cases)


@pytest.mark.case("F07")
@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"x-gzip", b"identity", b"br"])
async def test_a_coding_below_chunked_is_501(hostile: Hostile, coding: bytes) -> None:
    """aiohttp takes the chunks off and leaves the coding in the content."""
    cases = by_fields(hostile, (b"Transfer-Encoding: " + coding + b", chunked",))
    await check_refused(hostile, cases, "501 bad-message, closed")


@pytest.mark.case("F08")
async def test_chunks_in_http_1_0_are_refused(hostile: Hostile) -> None:
    kept = post(hostile, CHUNKED, b"Connection: keep-alive", content=CHUNKS, version=b"1.0")
    plain = post(hostile, CHUNKED, content=CHUNKS, version=b"1.0")
    await check_refused(hostile, {"plain": plain, "kept": kept})


@pytest.mark.case("F09")
async def test_an_obfuscated_transfer_coding_never_makes_two_requests(hostile: Hostile) -> None:
    """Refused, or one request whose content has the length that was declared."""
    content = b"0\r\n\r\nGET /r/smuggled HTTP/1.1\r\nHost: " + hostile.proxy.host.encode()
    content += b"\r\n\r\n"
    codings = obfuscated_codings()
    assert len(codings) == 150
    length = b"Content-Length: %d" % len(content)
    forwarded = []
    for name, coding in codings.items():
        before = len(hostile.arrived)
        result = await everything(hostile, post(hostile, length, coding, content=content))
        arrived = [request.content for request in hostile.arrived[before:]]
        forwarded += [name] if arrived else []
        assert (result, arrived) in [([400], []), ([200], [content])], name
    assert len(forwarded) < 10, forwarded


@pytest.mark.case("F10")
async def test_a_folded_field_is_refused(hostile: Hostile) -> None:
    cases = by_fields(
        hostile,
        (b"X: a\r\n b", CHUNKED),
        (b"X: a\r\n\tb", CHUNKED),
        (b"X:\r\n b", CHUNKED),
        (b"X: a\r\n \r\n b", CHUNKED),
        (b"Transfer-Encoding:\r\n chunked",),
        (b"Content-Length: 1\r\n 1",),
    )
    host = hostile.proxy.host.encode()
    first = b"GET /r/a HTTP/1.1\r\n X: 1\r\nHost: " + host + b"\r\n\r\n"
    folded = b"GET /r/a HTTP/1.1\r\nHost:\r\n " + host + b"\r\n\r\n"
    await check_refused(hostile, {**cases, "first": first, "Host": folded})


@pytest.mark.case("F11")
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\n\r", b"\r\r\n"])
async def test_a_bare_cr_or_lf_is_refused_wherever_a_line_ends(
    hostile: Hostile, end: bytes
) -> None:
    lines = post(hostile, b"A: 1", b"B: 2", b"Content-Length: 0").split(b"\r\n")[:-1]
    cases = {}
    for at in range(len(lines)):
        ends = [b"\r\n"] * len(lines)
        ends[at] = end
        sent = b"".join(line + e for line, e in zip(lines, ends, strict=True))
        cases[f"line {at}"] = sent + b"\r\n\r\n"  # a line must not be missing either
    cases["every line"] = end.join(lines) + end
    await check_refused(hostile, cases)


@pytest.mark.case("F11")
async def test_a_bare_cr_or_lf_is_refused_within_a_line(hostile: Hostile) -> None:
    cases = by_fields(
        hostile,
        (b"X: a\rb", CHUNKED),
        (b"X: a\nb", CHUNKED),
        (b"X: a\nTransfer-Encoding: chunked",),
        (b"X: a\rTransfer-Encoding: chunked",),
        (b"X\r: a", CHUNKED),
        (b"X:\ra", CHUNKED),
    )
    line = {"line": post(hostile).replace(b"/r/a", b"/r/a\rb")}
    await check_refused(hostile, {**cases, **line})


@pytest.mark.case("F12")
async def test_control_characters_are_refused_in_names_and_values(hostile: Hostile) -> None:
    fields = [
        (field.replace(b"%c", control), CHUNKED)
        for control in CONTROLS
        for field in (b"X: %ca", b"X: a%cb", b"X: a%c", b"X%cY: a", b"%cX: a", b"X%c: a")
    ]
    await check_refused(hostile, by_fields(hostile, *fields))


@pytest.mark.case("F13")
async def test_a_space_around_a_name_or_no_name_is_refused(hostile: Hostile) -> None:
    fields = [b"X : a", b"X\t: a", b" X: a", b"\tX: a", b": a", b" : a", b"X", b"X a: b", b"X;: a"]
    fields += [
        b"(X): a",
        b"X@: a",
        b'"X": a',
        b"X\xe9: a",
        b"X\xc3\xa9: a",
        b"Transfer-Encoding : x",
    ]
    await check_refused(hostile, by_fields(hostile, *((field, CHUNKED) for field in fields)))


SIZES = [
    b"0x1",
    b"+1",
    b"-1",
    b"1_0",
    b" 1",
    b"1 ",
    b"\t1",
    b"1\t",
    b"",
    b"g",
    b"1g",
    b"1,",
    b"1.0",
]
SIZES += [b"f" * 17, b"1" + b"0" * 16, b"1\n", b"1\r", b"1;a\n", b'1;a="\n"', b"1;\rb", b"1 ;a\0"]
SIZES += [b"\xef\xbc\x91", b"1\x0b", b"1;\x7f\0"]


@pytest.mark.case("F14")
async def test_a_malformed_chunk_size_is_refused(hostile: Hostile) -> None:
    cases = {
        repr(size): post(hostile, CHUNKED, content=size + b"\r\na\r\n0\r\n\r\n") for size in SIZES
    }
    await check_refused(hostile, cases)


@pytest.mark.case("F14")
async def test_a_malformed_chunk_is_refused(hostile: Hostile) -> None:
    contents = [
        b"1\na\r\n0\r\n\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1\r\na0\r\n\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
    ]
    contents += [b"2\r\na\r\n0\r\n\r\n", b"1\ra\r\n0\r\n\r\n", b"1\r\na\r0\r\n\r\n", b"0\n\r\n"]
    contents += [
        b"0\r\nX : 1\r\n\r\n",
        b"0\r\n X: 1\r\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX: \0\r\n\r\n",
    ]
    cases = {repr(content): post(hostile, CHUNKED, content=content) for content in contents}
    await check_refused(hostile, cases)


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
