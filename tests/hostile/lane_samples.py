"""Requests and answers of which both lanes have to make the same bytes."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from raw_client import chunked
from raw_upstream import response

KEY = "canary-key-of-the-two-lanes"
HOST = "{host}"
PLAIN = (f"Host: {HOST}", "User-Agent: python-requests/2.32.5", "Accept: */*")

HEADS: tuple[tuple[str, ...], ...] = (
    PLAIN,
    (*PLAIN, "Accept-Encoding: gzip, deflate", "Connection: keep-alive"),
    (f"Host: {HOST}", "user-agent: curl/8.5.0", "accept: */*"),
    (*PLAIN, "Authorization: Bearer of-the-client"),
    (*PLAIN, "AUTHORIZATION: Basic b2Y6bWU=", "authorization: twice"),
    (*PLAIN, "X-Api-Key: of-the-client", "X_Api_Key: folded"),
    (*PLAIN, "Cookie: a=b; c=d"),
    (*PLAIN, "X-A: 1", "x-a: 2", "X-Empty:", "X-Space:  a b  "),
    (*PLAIN, "Range: bytes=0-3", 'If-None-Match: "x"'),
    (*PLAIN, "Connection: X-Named", "X-Named: goes"),
    (*PLAIN, "Connection: close"),
    (*PLAIN, "TE: trailers", "Connection: TE"),
    (*PLAIN, "Upgrade: h2c", "Connection: Upgrade"),
    (*PLAIN, "Expect: 100-continue"),
    (*PLAIN, "Expect: something-else"),
    (*PLAIN, "X-Forwarded-For: 203.0.113.7"),
    (*PLAIN, "Via: 1.1 somebody"),
    (*PLAIN, "Origin: https://evil.example"),
    (*PLAIN, "Sec-Fetch-Site: cross-site"),
    (*PLAIN, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"),
    (*PLAIN, "Sec-Fetch-Site: same-origin"),
    (*PLAIN, "Access-Control-Request-Method: POST"),
    (*PLAIN, "X-HTTP-Method-Override: DELETE"),
    (*PLAIN, "Sidekey-Hop: 0123456789abcdef"),
    (*PLAIN, "X-Latin: caf\xe9"),
    (*PLAIN, "X-Long: " + "a" * 3_000),
    (*PLAIN, "X-Longer: " + "a" * 9_000),
    (*PLAIN, "Date: Sun, 29 Nov 2026 02:52:43 GMT"),
    ("Host: evil.example", "Accept: */*"),
    (f"Host: {HOST}", f"Host: {HOST}"),
    ("Accept: */*",),
    (f"Host : {HOST}",),
    (f"Host: {HOST}", " folded: a"),
    (f"Host: {HOST}", "X-Bad: a\rb"),
    (f"host: {HOST}", "accept: */*"),
    ("Host: r.localhost:{port}",),
    ("Host: localhost:{port}",),
)
USUAL = HEADS[:10]
METHODS = (
    "GET",
    "GET",
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "PURGE",
)
TARGETS = (
    *("/r/a{n}", "/r/a{n}", "/r/a{n}", "/r/a{n}?x=1&y=%20", "/r/v1/a{n}", "/r//a{n}", "//r/a{n}"),
    *(
        "/r/%61{n}",
        "/r/a%2f{n}",
        "/r/../a{n}",
        "/r/%2e%2e/a{n}",
        "/r/a{n}#x",
        "/r/a{n}?",
        "/r?a{n}",
    ),
    *("/r/a{n}/deny", "/r/local", "/r/token-like", "/q/a{n}", "/_sidekey/none", "*", "/", "a{n}"),
    *(
        "http://r/a{n}",
        "/r/a{n};x=y",
        "/r/a b{n}",
        "/r/\xe9{n}",
        "/r/a{n}~!$&'()*+,;=:@",
        "/r/%zz{n}",
    ),
    *("/r/" + "a" * 3_000 + "{n}", "/r/[{n}]", "/r/a{n}|x", "/r/a{n}\\x"),
)
CONTENTS = (b"", b"", b"hello", b"x" * 600, b"y" * 70_000)
VERSIONS = ("1.1",) * 20 + ("1.0", "1.2", "2.0")


def _date(day: int, second: int) -> str:
    return f"Date: Sun, {day:02} Nov 2026 02:52:{second % 60:02} GMT"


ANSWERS: tuple[bytes, ...] = (
    response("200 OK", b"{}", _date(29, 1), "Content-Type: application/json", "Server: x"),
    response("200 OK", b"{}", _date(29, 2), "Content-Type: application/json", "Server: x"),
    response("200 OK", b"[]", "Content-Type: application/json"),
    response("200 OK", b"<p>", "Content-Type: text/html", "Cache-Control: max-age=3"),
    response("200 OK", b"", "Content-Type: application/json"),
    response("200 OK", b"z" * 40_000, "Content-Type: application/json", _date(28, 3)),
    response("200 OK", b"z" * 200_000, "Content-Type: application/json"),
    response("404 Not Found", b"{}", "Content-Type: application/json", _date(29, 4)),
    response("500 Oops", b"{}", "Content-Type: application/json", "date: Sun"),
    response("503 Busy", b"{}", "Retry-After: 3", _date(29, 4), _date(29, 5)),
    response("302 Found", b"", "Location: /v1/other", "Set-Cookie: a=b; Path=/; Secure"),
    response("200 OK", b"{}", f"X-Echo: {KEY}", f"X-{KEY}: x"),
    response("200 OK", b"{}", "Sidekey-Error: mine", "Access-Control-Allow-Origin: *"),
    response("200 OK", b"{}", "Connection: X-Named", "X-Named: goes", "Keep-Alive: timeout=5"),
    response("200 OK", b"{}", "X-Latin: caf\xe9"),
    response("200 OK", b"{}", "Content-Encoding: gzip"),
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"ab", b"cd"),
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Bad: a\x01\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
)
ENDING = (19, 20, 21, 27)  # of these, those after which the upstream closes


@dataclass(frozen=True)
class Sample:
    """A request, as the pieces that it is sent in; `{host}` and `{port}` are to be filled in."""

    method: str
    pieces: tuple[bytes, ...]


def sample(draws: random.Random) -> Sample:
    """Return a request; most are usual, so that they come again."""
    usual = draws.random() < 0.7
    method = "GET" if usual and draws.random() < 0.6 else draws.choice(METHODS)
    fields = list(draws.choice(USUAL if usual else HEADS))
    number = draws.randrange(6) if draws.random() < 0.6 else draws.randrange(len(ANSWERS))
    target = (TARGETS[0] if usual else draws.choice(TARGETS)).replace("{n}", str(number))
    content = draws.choice(CONTENTS) if method in ("POST", "PUT", "PATCH", "DELETE") else b""
    if content and draws.random() < 0.1:
        fields.append("Transfer-Encoding: chunked")
        content = chunked(content[:3], content[3:]) if content[3:] else chunked(content)
    elif content or draws.random() < 0.05:
        fields.append(f"Content-Length: {len(content)}")
    version = "1.1" if usual else draws.choice(VERSIONS)
    head = "\r\n".join([f"{method} {target} HTTP/{version}", *fields, "", ""])
    return Sample(method, _cut(head.encode("latin-1") + content, draws))


def _cut(whole: bytes, draws: random.Random) -> tuple[bytes, ...]:
    if draws.random() < 0.92:
        return (whole,)
    place = draws.randrange(1, len(whole))
    return whole[:place], whole[place:]


def answer_to(target: str) -> bytes:
    """Return what the upstream answers at a target: its last number says which."""
    numbers = re.findall("[0-9]+", target)
    return ANSWERS[int(numbers[-1]) % len(ANSWERS)] if numbers else ANSWERS[0]
