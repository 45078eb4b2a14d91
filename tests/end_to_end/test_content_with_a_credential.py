"""Credentials that go into the content: right, or not at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import aiohttp
import pytest
from gateway_samples import KEY, keyed
from proxying import Sidekey, sidekey
from raw_client import RawAnswer, ask, chunked
from raw_upstream import RawUpstream, answering

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = 'Content-Type: multipart/form-data; boundary="a b"'
BODY_ONLY = "inject: {in: body, name: i, max_size: 100}"


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """Return a form whose boundary, `a b`, needs quotes in Content-Type."""
    lines = [
        b'--a b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in parts
    ]
    return b"".join(lines) + b"--a b--\r\n"


async def sent(
    tmp_path: Path, line: str, *fields: str, content: bytes = b"", more: str = BODY_ONLY
) -> tuple[RawAnswer, RawUpstream]:
    """Return the answer to one request, and the upstream that may have seen it."""
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        return await ask(proxy, line, *fields, content=content), upstream


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_request_without_content_never_leaves_without_its_credential(
    tmp_path: Path, method: str
) -> None:
    answer, upstream = await sent(tmp_path, f"{method} /r/a")
    assert (answer.status, answer.field("Sidekey-Error")) == (400, ["content-not-injectable"])
    assert upstream.requests == []


@pytest.mark.parametrize("fields", [(), (JSON,), ("Content-Length: 0",), ("Content-Type: a/b",)])
async def test_absent_content_becomes_an_object_with_its_type(
    tmp_path: Path, fields: tuple[str, ...]
) -> None:
    """Surprise 13: real Misskey refuses an empty POST even with a good header."""
    _, upstream = await sent(tmp_path, "POST /r/a", *fields)
    expected = b'{"i":"%s"}' % KEY.encode()
    assert upstream.last.content == expected
    assert upstream.last.field("Content-Type") == ["application/json"]
    assert upstream.last.field("Content-Length") == [str(len(expected))]


async def test_empty_chunked_content_becomes_an_object_too(tmp_path: Path) -> None:
    """Surprise 13."""
    fields = (JSON, "Transfer-Encoding: chunked")
    _, upstream = await sent(tmp_path, "POST /r/a", *fields, content=chunked())
    assert upstream.last.content == b'{"i":"%s"}' % KEY.encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{}", b'{"i":"%s"}'),
        (
            b' { "n" : 1.10 , "big":123456789012345678901234567890 }',
            b' {"i":"%s", "n" : 1.10 , "big":123456789012345678901234567890 }',
        ),
        (b'{"i":null,"b":1,"i":"dummy"}', b'{"i":"%s","b":1}'),
        (b'{"\\u0069":"dummy"}', b'{"i":"%s"}'),
        (b'\xef\xbb\xbf{"b":1}', b'\xef\xbb\xbf{"i":"%s","b":1}'),
    ],
)
@pytest.mark.parametrize(
    "field", [JSON, "Content-Type: application/json; charset=UTF-8", "content-type: a/b+JSON"]
)
async def test_json_keeps_every_byte_but_the_clients_own_member(
    tmp_path: Path, content: bytes, expected: bytes, field: str
) -> None:
    """Surprises 8 and 13."""
    _, upstream = await sent(tmp_path, "POST /r/a", field, content=content)
    assert upstream.last.content == expected.replace(b"%s", KEY.encode())
    assert upstream.last.field("Content-Type") == [field.partition(": ")[2]]
    assert upstream.last.field("Content-Length") == [str(len(upstream.last.content))]


@pytest.mark.parametrize(
    ("field", "content", "status", "slug"),
    [
        (JSON, b"[]", 400, "content-not-injectable"),
        (JSON, b"null", 400, "content-not-injectable"),
        (JSON, b'{"a":', 400, "content-not-injectable"),
        (JSON, b'{"a":"\xff"}', 400, "content-not-injectable"),
        (JSON, b'{"a":"' + b"x" * 100 + b'"}', 413, "content-too-large"),
        (FORM, b"a=" + b"x" * 100, 413, "content-too-large"),
        ("Content-Type: text/plain", b"{}", 415, "content-not-injectable"),
        ("X-No: type", b"{}", 415, "content-not-injectable"),
        ("Content-Type: application/json; charset=shift_jis", b"{}", 415, "content-not-injectable"),
        (
            f"{JSON}\r\nContent-Encoding: gzip",
            gzip.compress(b"{}", mtime=0),
            415,
            "content-not-injectable",
        ),
        ("Content-Type: multipart/form-data", b"x", 400, "content-not-injectable"),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_content_without_a_place_for_the_credential_is_refused(
    tmp_path: Path, field: str, content: bytes, status: int, slug: str, framing: str
) -> None:
    """Surprise 13."""
    fields: tuple[str, ...] = (field,)
    if framing == "chunks":
        fields, content = (field, "Transfer-Encoding: chunked"), chunked(content)
    answer, upstream = await sent(tmp_path, "POST /r/a", *fields, content=content)
    assert (answer.field("Sidekey-Error"), answer.json()["status"]) == ([slug], answer.status)
    assert answer.status == status
    assert upstream.requests == []


async def test_urlencoded_forms_take_the_credential(tmp_path: Path) -> None:
    """Surprise 8."""
    _, upstream = await sent(tmp_path, "POST /r/a", FORM, content=b"a=b+c&i=dummy&x=%7E&%69=dummy")
    assert upstream.last.content == b"i=%s&a=b+c&x=%%7E" % KEY.encode()


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_multipart_forms_get_our_field_first_and_lose_the_clients_own(
    tmp_path: Path, framing: str
) -> None:
    """Surprise 14: the boundary has quotes, and the length changes."""
    content = multipart(("file", b"\x00\xffdata\r\n--a"), ("i", b"dummy"), ("x", b"1"))
    fields: tuple[str, ...] = (MULTIPART,)
    body = content
    if framing == "chunks":
        fields, body = (MULTIPART, "Transfer-Encoding: chunked"), chunked(*map(bytes, zip(content)))
    _, upstream = await sent(tmp_path, "POST /r/a", *fields, content=body)
    expected = multipart(("i", KEY.encode()), ("file", b"\x00\xffdata\r\n--a"), ("x", b"1"))
    assert upstream.last.content == expected
    assert [f"Content-Type: {t}" for t in upstream.last.field("Content-Type")] == [MULTIPART]


async def test_a_broken_multipart_upload_is_never_a_whole_one_for_the_upstream(
    tmp_path: Path,
) -> None:
    """It streams, so the upstream may have seen the beginning; it must not see an end."""
    content = multipart(("file", b"x" * 1000)).removesuffix(b"--a b--\r\n")[:-10]
    answer, upstream = await sent(tmp_path, "POST /r/a", MULTIPART, content=content)
    assert (answer.status, answer.field("Sidekey-Error")) == (400, ["content-not-injectable"])
    assert upstream.requests == []


def misskey_text(origin: str, token: str) -> str:
    return f"m:\n  preset: misskey-token\n  base_url: {origin}\n  provider: {{token: {token}}}"


async def test_every_way_to_call_misskey_works_with_every_version(tmp_path: Path) -> None:
    """Surprises 13 and 15."""
    for version in ("2025.11.1", "13.13.2"):
        misskey = MisskeySandbox(version)
        async with serve(misskey.application()) as origin:
            text = misskey_text(origin, misskey.issue_token(["read:account", "write:notes"]))
            async with sidekey(tmp_path, text) as proxy:
                await check_misskey(proxy)
                note = await ask(
                    proxy, "POST /m/api/notes/create", JSON, content=b'{"text":"a","i":"dummy"}'
                )
                assert note.json()["createdNote"]["text"] == "a"


async def check_misskey(proxy: Sidekey) -> None:
    for content, fields in ((b"", ()), (b"{}", (JSON,)), (b'{"i":null}', (JSON,))):
        answer = await ask(proxy, "POST /m/api/i", *fields, content=content)
        assert (answer.status, answer.json()["username"]) == (200, "bob")


async def test_a_get_call_to_misskey_carries_the_header(tmp_path: Path) -> None:
    """Surprise 15: endpoints that may be asked by GET read the header."""
    misskey = MisskeySandbox()
    async with serve(misskey.application()) as origin:
        token = misskey.issue_token(["read:account"])
        async with sidekey(tmp_path, misskey_text(origin, token)) as proxy:
            answer = await ask(proxy, "GET /m/api/emojis?a=%7E")
    assert answer.status == 200
    assert ("Authorization", f"Bearer {token}") in misskey.requests[0].headers
    assert misskey.requests[0].target == "/api/emojis?a=%7E"


@pytest.mark.parametrize("version", ["2025.11.1", "13.13.2"])
async def test_a_file_goes_to_misskeys_drive_with_our_token(tmp_path: Path, version: str) -> None:
    """Surprises 14 and 19: the client sends an `i` of its own; the file's address stays real."""
    misskey = MisskeySandbox(version, origin="https://misskey.example")
    async with serve(misskey.application()) as origin:
        token = misskey.issue_token(["read:drive", "write:drive"])
        async with (
            sidekey(tmp_path, misskey_text(origin, token)) as proxy,
            aiohttp.ClientSession() as session,
        ):
            form = aiohttp.FormData()
            form.add_field("i", "dummy")
            form.add_field("file", b"x" * 300_000, filename="x.bin")
            url = proxy.url("m", "/api/drive/files/create")
            async with session.post(url, data=form) as answer:
                assert answer.status == 200
                file = json.loads(await answer.text())
    assert file["size"] == 300_000
    assert file["url"].startswith("https://misskey.example/")
    assert b"dummy" not in misskey.requests[0].body


async def test_public_files_of_misskey_get_no_token(tmp_path: Path) -> None:
    misskey = MisskeySandbox()
    async with serve(misskey.application()) as origin:
        token = misskey.issue_token(["read:account"])
        async with sidekey(tmp_path, misskey_text(origin, token)) as proxy:
            await ask(proxy, "GET /m/files/abc?i=dummy", "Authorization: Bearer dummy")
    request = misskey.requests[0]
    assert token not in repr(request)
    assert "dummy" not in repr(request)
