"""What the client gets is what the upstream answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gateway_samples import keyed, protected
from proxying import sidekey
from raw_client import RawAnswer, ask
from raw_upstream import answering, json_response, response


async def answer_to(
    tmp_path: Path, answer: bytes, line: str = "GET /r/a", *fields: str, more: str = ""
) -> RawAnswer:
    """Return what the client of one request gets when the upstream says `answer`."""
    async with (
        answering(answer) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        return await ask(proxy, line, *fields)


def without_case(head: str) -> str:
    """Return `head` with the names of its fields in lower case."""
    return re.sub(r"(?m)^[\w-]+:", lambda name: name[0].lower(), head)


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 204 No Content\r\nX-A: 1",
        'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nCache-Control: max-age=1',
        "HTTP/1.1 210 Content Different\r\nContent-Length: 0",
        "HTTP/1.1 200 OK\r\nContent-Length: 0",
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0",
        "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0",
        "HTTP/1.1 200 Everything is fine, thank you\r\nContent-Length: 0",
        "HTTP/1.1 200 \r\nContent-Length: 0",
        "HTTP/1.1 599 ü\r\nContent-Length: 0",
        "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0",
        "HTTP/1.1 401 No\r\nWWW-Authenticate: A\r\nWWW-Authenticate: B\r\nContent-Length: 0",
        "HTTP/1.1 200 OK\r\nlink: </1>\r\nb: 1\r\nLink: </2>\r\nLINK: </3>\r\nContent-Length: 0",
        "HTTP/1.1 200 OK\r\nX-Name: 東京\r\nContent-Length: 0",
        "HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nServer: x\r\nContent-Length: 0",
    ],
)
async def test_a_head_passes_byte_for_byte_and_nothing_but_protection_is_added(
    tmp_path: Path, head: str
) -> None:
    """Surprise 12: no Server, Date, Content-Type or length that the upstream did not send.

    Only the case of a known field's name is not kept: aiohttp's parser writes `Etag`.
    """
    more = "reject_on: []"
    answer = await answer_to(tmp_path, f"{head}\r\n\r\n".encode(), more=more)
    expected = protected(f"{head}\r\n\r\n".encode()).decode()
    assert without_case(answer.head.decode()) == without_case(expected)
    assert (answer.content, answer.ended) == (b"", True)


async def test_210_passes_with_its_content(tmp_path: Path) -> None:
    """Surprise 12: J-Quants answers 210 outside the hours of the morning data."""
    sent = json_response("210 ", b'{"message":"x"}')
    answer = await answer_to(tmp_path, sent)
    assert answer.head + answer.content == protected(sent)


async def test_urls_in_content_stay_as_they_are(tmp_path: Path) -> None:
    """Surprise 19: file and download addresses lead to the real hosts."""
    content = b'{"url":"https://files.example.com/a.png","next":"http://127.0.0.1:1/v1"}'
    assert (await answer_to(tmp_path, json_response("200 OK", content))).content == content


@pytest.mark.parametrize("field", [(), ("Retry-After: 7",), ("Retry-After: Sat, 01 Jan 2000",)])
async def test_429_passes_with_its_retry_after_or_without_one(
    tmp_path: Path, field: tuple[str, ...]
) -> None:
    """Surprise 21."""
    sent = json_response("429 Too Many Requests", b'{"message":"wait"}', *field)
    async with answering(sent) as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, "GET /r/a")
    assert answer.head + answer.content == protected(sent)
    assert len(upstream.requests) == 1


OPENING = [
    "Access-Control-Allow-Origin: *",
    "access-control-allow-credentials: true",
    "Access_Control_Expose_Headers: *",
    "Timing-Allow-Origin: *",
]
FOR_THE_ORIGIN = [
    "Set-Cookie: a=b",
    "Set-Cookie: c=d",
    "Set-Cookie2: e=f",
    'Clear-Site-Data: "*"',
    "Service-Worker-Allowed: /",
    "Strict-Transport-Security: max-age=1",
    'Alt-Svc: h3=":443"',
    "Refresh: 0; url=/other/x",
    "NEL: {}",
    "Report-To: {}",
    'Reporting-Endpoints: a="/b"',
    "Public-Key-Pins: x",
    "Public-Key-Pins-Report-Only: x",
]


async def test_fields_that_open_answers_to_pages_or_hold_for_the_whole_origin_are_dropped(
    tmp_path: Path,
) -> None:
    """Surprise 20: every upstream is the same origin here."""
    kept = ["Content-Type: text/plain", "X-A: 1"]
    answer = await answer_to(tmp_path, response("200 OK", b"x", *OPENING, *FOR_THE_ORIGIN, *kept))
    assert answer.head + b"x" == protected(response("200 OK", b"x", *kept))


async def test_fields_that_would_weaken_the_protection_are_replaced(tmp_path: Path) -> None:
    sent = ["Cross-Origin-Resource-Policy: cross-origin", "X-Content-Type-Options: none"]
    answer = await answer_to(tmp_path, response("200 OK", b"", *sent))
    assert answer.field("Cross-Origin-Resource-Policy") == ["same-origin"]
    assert answer.field("X-Content-Type-Options") == ["nosniff"]


@pytest.mark.parametrize("field", ["Cache-Control: max-age=60", "Expires: 0"])
async def test_what_the_upstream_says_about_caches_holds(tmp_path: Path, field: str) -> None:
    sent = response("200 OK", b"", field)
    assert (await answer_to(tmp_path, sent)).head == protected(sent)
    assert b"no-store" not in protected(sent)


@pytest.mark.parametrize("own", [(), ("Content-Security-Policy: script-src 'self'",)])
@pytest.mark.parametrize(
    "type_",
    [
        "text/html",
        "Text/HTML; charset=utf-8",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xml",
        "application/atom+xml",
        "text/xsl",
        "multipart/x-mixed-replace; boundary=x",
        "text/plain, text/html",
        "nonsense",
        "",
    ],
)
async def test_active_content_and_content_without_a_type_is_sandboxed(
    tmp_path: Path, type_: str, own: tuple[str, ...]
) -> None:
    """A page of one upstream could call the others, since they are its own origin."""
    sent = response("200 OK", b"<script>", *own, f"Content-Type: {type_}")
    sandbox = "Content-Security-Policy: sandbox; default-src 'none'"
    assert (await answer_to(tmp_path, sent)).head + b"<script>" == protected(sent, sandbox)


async def test_the_upstream_cannot_speak_in_our_name(tmp_path: Path) -> None:
    sent = response("502 Bad", b"", "sidekey-error: upstream-timeout", "Keep-Alive: timeout=5")
    assert (await answer_to(tmp_path, sent)).head == protected(response("502 Bad"))
