"""Group X, the slots of the credential: query, JSON, and what the client has in ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gateway_samples import KEY, keyed
from hostile_fixtures import Attack
from hostile_harness import Hostile
from proxying import sidekey
from raw_client import ask, message
from raw_upstream import answering

from proxy.errors import ConfigError

JSON = "Content-Type: application/json"


@pytest.mark.case("X05")
@pytest.mark.parametrize(
    ("sent", "left"),
    [
        ("key=dummy", ""),
        ("%6bey=dummy", ""),
        ("%6Bey=dummy", ""),
        ("key=dummy&a=1&key=dummy", "a=1&"),
        ("a=1&key", "a=1&"),
        ("key=&key==dummy", ""),
        ("a=1&&b=key", "a=1&&b=key&"),
        ("akey=1&keys=2&a=key=3", "akey=1&keys=2&a=key=3&"),
        ("q=a+b&y=%7E&%6B%65%79=dummy", "q=a+b&y=%7E&"),
    ],
)
async def test_the_query_has_our_key_last_and_none_of_the_clients(
    hostile: Hostile, sent: str, left: str
) -> None:
    """Surprise 8."""
    assert (await hostile.ask(f"GET /q/a?{sent}")).status == 200
    [request] = hostile.arrived
    assert request.query == f"{left}key={hostile.canaries.query_key}"


@pytest.mark.case("X05")
@pytest.mark.parametrize(
    "sent",
    ["KEY=dummy", "Key=dummy", "key[]=dummy", "key%5B%5D=dummy", "a=1;key=dummy"],
)
async def test_the_query_has_no_second_key_for_a_lenient_server(
    hostile: Hostile, sent: str
) -> None:
    """ASP.NET ignores case, PHP reads `key[]` as `key`, older servers part at semicolons."""
    assert (await hostile.ask(f"GET /q/a?{sent}")).status in (200, 400, 409)
    assert not any(b"key=dummy" in c.lower() for c in hostile.upstream.connections)
    assert not any("dummy" in request.query for request in hostile.arrived)


MEMBERS = [
    b'{"i":"dummy"}',
    b'{"i":"dummy","i":"dummy"}',
    b'{"a":1,"\\u0069":"dummy","i":null}',
    b'{"i":{"i":["dummy"]},"a":{"i":"kept"}}',
    b'{"i":1}',
    b'{"i":[]}',
    b'\xef\xbb\xbf{"i":"dummy"}',
    b"{}",
    b' { "a" : 1.10 , "b":123456789012345678901234567890 } ',
]


@pytest.mark.case("X06")
@pytest.mark.parametrize("content", MEMBERS)
async def test_the_members_of_a_json_object_are_kept_and_ours_is_there_once(
    hostile: Hostile, content: bytes
) -> None:
    assert (await hostile.ask("POST /j/a", JSON, content=content)).status == 200
    [request] = hostile.arrived
    arrived = json.loads(request.content.decode("utf-8-sig"), object_pairs_hook=list)
    sent = json.loads(content.decode("utf-8-sig"), object_pairs_hook=list)
    assert [m for m in arrived if m[0] == "i"] == [("i", hostile.canaries.json_key)]
    assert [m for m in arrived if m[0] != "i"] == [m for m in sent if m[0] != "i"]
    request.content = request.content.removeprefix(b"\xef\xbb\xbf")  # for the oracles


def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
    return b'{"a":' + opening * depth + b"1" + closing * depth + b"}"


IMPROPER = {
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "Latin-1": b'{"a":"\xe9"}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "10,000 lists deep": nested(10_000, b"[", b"]"),
    "10,000 objects deep": nested(10_000, b'{"a":', b"}"),
    "10,000 lists deep in our place": nested(10_000, b"[", b"]").replace(b"a", b"i"),
    "10,000 lists deep without an end": b'{"i":' + b"[" * 10_000,
    "a list": b'[{"i":"dummy"}]',
    "a text": b'"i"',
    "a number": b"1",
    "null": b"null",
    "two objects": b"{}{}",
    "single quotes": b"{'i':'dummy'}",
    "a comment": b'{"a":1/*,"i":"dummy"*/}',
    "a comma too many": b'{"a":1,}',
    "half an object": b'{"i":"dummy"',
    "half a surrogate pair": b'{"a":"\\ud800"}',
    "a control character": b'{"a":"\x01"}',
    "spaces": b"   ",
    "NUL": b'{"a":1}\0',
}


@pytest.mark.case("X06")
@pytest.mark.parametrize("content", IMPROPER.values(), ids=IMPROPER)
async def test_improper_json_is_a_400(hostile: Hostile, content: bytes) -> None:
    answer = await hostile.ask("POST /j/a", JSON, content=content)
    hostile.check_refused(answer, 400, "content-not-injectable")
    assert hostile.upstream.connections == []


@pytest.mark.case("X06")
@pytest.mark.parametrize("number", ["1e999", "-0", "1" * 5000, "0.1" + "0" * 5000, "1E-5000"])
async def test_a_number_of_any_size_arrives_as_it_was_written(
    hostile: Hostile, number: str
) -> None:
    content = f'{{"i":0,"a":{number}}}'.encode()
    assert (await hostile.ask("POST /j/a", JSON, content=content)).status == 200
    [request] = hostile.arrived
    beginning = request.content.removesuffix(f"{number}}}".encode())
    assert beginning != request.content
    request.content = beginning + b"1}"  # the oracles' parser has limits of its own


@pytest.mark.case("X06")
@pytest.mark.parametrize("fields", [["Content-Length: 2097152"], ["Transfer-Encoding: chunked"]])
async def test_json_of_2_mib_is_a_413(hostile: Hostile, fields: list[str]) -> None:
    content = b'{"a":"' + b"x" * 2**21 + b'"}'
    if fields == ["Transfer-Encoding: chunked"]:
        content = b"%x\r\n" % len(content) + content + b"\r\n0\r\n\r\n"
    async with hostile.connect() as client:
        await client.send(message("POST /j/a", JSON, *fields, host=hostile.proxy.host))
        client.writer.write(content)
        answer = await client.answer()
    hostile.check_refused(answer, 413, "content-too-large")
    assert hostile.upstream.connections == []


@pytest.mark.case("X06")
@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Type: text/plain"],
        ["Content-Type: application/xml"],
        ["Content-Type: application/json; charset=utf-16"],
        ["Content-Type: application/json", "Content-Encoding: gzip"],
        [],
    ],
)
async def test_content_that_is_no_plain_json_is_a_415(hostile: Hostile, fields: list[str]) -> None:
    answer = await hostile.ask("POST /j/a", *fields, content=b'{"a":1}')
    hostile.check_refused(answer, 415, "content-not-injectable")
    assert hostile.upstream.connections == []


@pytest.mark.case("X07")
@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "a\x7fb"])
@pytest.mark.parametrize("more", ["", "inject: {in: cookie, name: s}", "inject: {in: path}"])
async def test_a_key_with_line_breaks_never_gets_onto_the_wire(
    tmp_path: Path, key: str, more: str
) -> None:
    (tmp_path / "key").write_bytes(key.encode())
    (tmp_path / "key").chmod(0o600)
    async with answering() as upstream:
        text = keyed(upstream.origin, more=more).replace(KEY, f"'${{file:{tmp_path}/key}}'")
        try:
            async with sidekey(tmp_path, text) as proxy:
                answer = await ask(proxy, "GET /r/a")
                assert answer.status in (500, 502, 503)
                assert answer.field("Sidekey-Error") != []
        except ConfigError as error:
            assert "X-Evil" not in str(error)  # noqa: PT017  either way is right
        assert upstream.connections == 0


@pytest.mark.case("X06", "X10")
@pytest.mark.parametrize(
    "content",
    [b'{"i":"dummy"}', b'{"a":1,"\\u0069":"dummy"}', b'{"i":null,"i":"dummy"}', b'{"i":7}'],
)
async def test_reject_refuses_a_client_with_a_credential_in_its_content(
    attack: Attack, content: bytes
) -> None:
    async with attack(more={"j": "client_credential: reject"}) as hostile:
        refused = await hostile.ask("POST /j/a", JSON, content=content)
        hostile.check_refused(refused, 409, "credential-conflict")
        assert hostile.upstream.connections == []
        assert (await hostile.ask("POST /j/a", JSON, content=b'{"a":{"i":1}}')).status == 200


@pytest.mark.case("X10")
async def test_reject_refuses_a_client_with_a_credential_and_serves_others(
    attack: Attack,
) -> None:
    policy = "client_credential: reject"
    async with attack(more={"r": policy, "q": policy}) as hostile:
        for line, fields in (
            ("GET /r/a", ["authorization: Bearer dummy"]),
            ("GET /r/a", ["Authorization:", "AUTHORIZATION: Basic eA=="]),
            ("GET /q/a?%6bey=dummy", []),
        ):
            refused = await hostile.ask(line, *fields)
            hostile.check_refused(refused, 409, "credential-conflict")
        assert hostile.upstream.connections == []
        assert (await hostile.ask("GET /r/a")).status == 200
        assert (await hostile.ask("GET /q/a?key=")).status == 200
