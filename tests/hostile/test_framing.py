"""Group F, heads and chunks: what is malformed is refused, whole, before anything else happens."""

from __future__ import annotations

import pytest
from framing_outcomes import (
    CHUNKED,
    CHUNKS,
    REFUSED,
    by_fields,
    check_refused,
    everything,
    outcome,
    post,
)
from hostile_harness import Hostile
from obfuscated_codings import obfuscated_codings

CONTROLS = [bytes([n]) for n in (*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)]


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


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DESCRIBE"])
@pytest.mark.parametrize(
    "version", ["RTSP/1.0", "ICE/1.0", "http/1.1", "HTTP/1.2", "HTTP/3", "X/1.1"]
)
async def test_another_protocol_on_the_request_line_is_refused(
    hostile: Hostile, method: str, version: str
) -> None:
    """llhttp knows RTSP too, and aiohttp does not ask which of the two it was."""
    sent = post(hostile, b"Content-Length: 0").replace(b"HTTP/1.1", version.encode(), 1)
    answer = await hostile.send(sent.replace(b"POST", method.encode(), 1))
    assert answer.status in (400, 405, 505)
    assert hostile.upstream.connections == []
