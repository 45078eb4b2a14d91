"""Valid requests, and ways to break them: the generator of the differential fuzz.

In the manner of T-Reqs: a request is taken apart into the pieces that the grammar of RFC 9112
knows, a few pieces are changed, and it is put together again. Whatever is made follows from a
number alone, so that a finding can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

CRLF = b"\r\n"
STRAY = [b" ", b"\t", b"\0", b"\x01", b"\x0b", b"\x0c", b"\r", b"\n", b"\x7f", b"\x80", b"\x85"]
STRAY += [b"\xa0", b"\xff", b"_", b":", b"%", b'"', b";", b",", b"\r\n", b"\r\n ", b"\n\n"]
EOLS = [b"\n", b"\r", b"", b"\r\r\n", b"\n\r", b"\r\n\r\n", b"\r\n ", b"\0\r\n", b"\x0b\r\n"]
METHODS = [
    b"get",
    b"TRACE",
    b"CONNECT",
    b"PRI",
    b"",
    b"GET\0",
    b"G ET",
    b"X" * 300,
    b"POST",
    b"HEAD",
]
VERSIONS = [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"HTTP/1.1 x"]
VERSIONS += [b"", b"HTTP/01.1", b"HTTP/1.10", b"HTTP /1.1", b"HTTP/1,1", b"ICE/1.0", b"HTTP/1."]
GAPS = [b"  ", b"\t", b"\x0b", b"", b" \t", b"\xa0", b"\r"]
COLONS = [b":", b" :", b"\t: ", b"::", b"", b": \0", b":\r\n ", b";", b"=", b":\x0b", b": \t "]
DETOURS = [b"/../", b"/./", b"/%2e%2e/", b"/%252e%252e/", b"/..;/", b"//", b"/\\", b"/%5c", b"/%2f"]
DETOURS += [b" ", b"\t", b"#", b"\x80", b"%00", b"%0d%0a", b"%zz", b"?", b"&", b";", b"@", b"://"]
TARGETS = [
    b"*",
    b"evil.example:80",
    b"http://evil.example/",
    b"file:///etc/passwd",
    b"//evil/",
    b"",
]
FIELDS = [
    (b"Transfer-Encoding", b"chunked"),
    (b"Transfer-Encoding", b"gzip, chunked"),
    (b"Transfer-Encoding", b"identity"),
    (b"Transfer-Encoding", b"xchunked"),
    (b"Transfer_Encoding", b"chunked"),
    (b"Content-Length", b"0"),
    (b"Content-Length", b"1"),
    (b"Content-Length", b"+3"),
    (b"Content-Length", b"3, 3"),
    (b"Content-Length", b"99999999999999999999"),
    (b"Content_Length", b"3"),
    (b"Host", b"evil.example"),
    (b"Host", b""),
    (b"Authorization", b"Bearer dummy"),
    (b"authorization", b"Basic ZHVtbXk="),
    (b"X-Api-Key", b"dummy"),
    (b"X_Api_Key", b"dummy"),
    (b"Connection", b"close"),
    (b"Connection", b"Authorization, X-Api-Key, Host, Content-Length"),
    (b"Connection", b"Transfer-Encoding"),
    (b"Proxy-Connection", b"keep-alive"),
    (b"Expect", b"100-continue"),
    (b"Expect", b"teapot"),
    (b"Upgrade", b"h2c"),
    (b"TE", b"trailers"),
    (b"Trailer", b"Authorization"),
    (b"Content-Encoding", b"gzip"),
    (b"X-HTTP-Method-Override", b"DELETE"),
    (b"X-Forwarded-For", b"1.2.3.4"),
    (b"Origin", b"https://evil.example"),
    (b"Sidekey-Error", b"not-allowed"),
    (b"", b"x"),
]
SIZES = [b"0x3", b"+3", b"-3", b"3_0", b" 3", b"3 ", b"03", b"0" * 40 + b"3", b"f" * 17, b"", b"g"]
SIZES += [b"3;a=b", b'3;a="b\n"', b"3;\n", b"3 ;a", b"3\t", b"3.0", b"\xef\xbc\x93"]
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: smuggled\r\n\r\n"


@dataclass
class Field:
    """One field line."""

    name: bytes
    value: bytes
    colon: bytes = b": "
    eol: bytes = CRLF

    def __bytes__(self) -> bytes:
        return self.name + self.colon + self.value + self.eol


@dataclass
class Chunk:
    """One chunk; the last one has no content, and trailers in place of it."""

    size: bytes
    content: bytes
    eol: bytes = CRLF
    end: bytes = CRLF

    def __bytes__(self) -> bytes:
        return self.size + self.eol + self.content + self.end


@dataclass
class Draft:
    """One request in pieces."""

    method: bytes
    target: bytes
    fields: list[Field]
    content: bytes = b""
    chunks: list[Chunk] = field(default_factory=list)
    version: bytes = b"HTTP/1.1"
    gaps: list[bytes] = field(default_factory=lambda: [b" ", b" "])
    eol: bytes = CRLF
    end: bytes = CRLF

    def copy(self) -> Draft:
        """Return a draft that can be changed without changing this one."""
        fields, chunks = [replace(one) for one in self.fields], [replace(c) for c in self.chunks]
        return replace(self, fields=fields, chunks=chunks, gaps=self.gaps[:])

    def __bytes__(self) -> bytes:
        line = self.method + self.gaps[0] + self.target + self.gaps[1] + self.version + self.eol
        content = self.content + b"".join(map(bytes, self.chunks))
        return line + b"".join(map(bytes, self.fields)) + self.end + content


def request(
    method: str, target: str, *lines: str, content: bytes = b"", chunks: tuple[bytes, ...] = ()
) -> Draft:
    """Return a valid request; its Host is put in by `mutant`."""
    split = (line.split(": ", 1) for line in lines)
    fields = [Field(b"Host", b"")] + [Field(n.encode(), v.encode()) for n, v in split]
    if chunks:
        fields.append(Field(b"Transfer-Encoding", b"chunked"))
    elif content:
        fields.append(Field(b"Content-Length", b"%d" % len(content)))
    pieces = [Chunk(b"%x" % len(chunk), chunk) for chunk in chunks]
    last = [Chunk(b"0", b"")] if chunks else []
    return Draft(method.encode(), target.encode(), fields, content, pieces + last)


JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = "Content-Type: multipart/form-data; boundary=b"
PARTS = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'

SEEDS: list[list[Draft]] = [  # each one a stream of requests
    [request("GET", "/a")],
    [request("GET", "/a/b%20c?q=a+b&x=%2B&y=%26&z=")],
    [request("GET", "/a?appid=dummy&%61ppid=dummy&q=1", "Authorization: Bearer dummy")],
    [request("HEAD", "/a")],
    [request("DELETE", "/a/1", "Accept: */*")],
    [request("OPTIONS", "/a")],
    [request("GET", "/a", "X-Api-Key: dummy", "X_Api_Key: dummy", "Cookie: a=b")],
    [request("GET", "/a", "Connection: close")],
    [request("GET", "/a", "Connection: keep-alive, X-Hop, Authorization", "X-Hop: 1")],
    [request("GET", "/a", *(f"X-{n}: {n}" for n in range(30)))],
    [request("GET", "/a", content=b"abc")],
    [request("POST", "/a", content=b"abc")],
    [request("POST", "/a", "Expect: 100-continue", content=b"abc")],
    [request("PUT", "/a", "Content-Length: 0")],
    [request("PATCH", "/a", JSON, content=b'{"a":1.10,"i":"dummy"}')],
    [request("POST", "/a", FORM, content=b"a=1&i=dummy&b=%26")],
    [request("POST", "/a", MULTIPART, content=PARTS)],
    [request("POST", "/a", MULTIPART, chunks=(PARTS[:9], PARTS[9:40], PARTS[40:]))],
    [request("POST", "/a", JSON, chunks=(b'{"a"', b":[1,2]}"))],
    [request("POST", "/a", chunks=(b"abc",))],
    [request("POST", "/a", "TE: trailers", chunks=(b"abc", b"0" * 20, b"\r\n0\r\n\r\n"))],
    [request("POST", "/a", content=b"0\r\n\r\n" + SMUGGLED)],
    [request("POST", "/a", chunks=(SMUGGLED, b"x"))],
    [request("GET", "/1"), request("GET", "/2")],
    [request("POST", "/1", content=b"abc"), request("GET", "/2"), request("HEAD", "/3")],
    [request("POST", "/1", chunks=(b"abc", b"d")), request("POST", "/2", content=b"e")],
]
SEEDS += [[replace(request("GET", "/a"), version=b"HTTP/1.0")]]
SEEDS += [[replace(request("POST", "/a", content=b"abc"), version=b"HTTP/1.0")]]
WITH_TRAILERS = request("POST", "/a", chunks=(b"abc",))
WITH_TRAILERS.chunks[0].size += b";a=b"
WITH_TRAILERS.chunks[-1].content = b"X-Sum: 1\r\nAuthorization: Bearer dummy\r\n"
SEEDS += [[WITH_TRAILERS]]


def _method(draft: Draft, dice: Random) -> None:
    draft.method = dice.choice([*METHODS, _with_stray(draft.method, dice)])


def _target(draft: Draft, dice: Random) -> None:
    at = dice.randrange(len(draft.target) + 1)
    detour = dice.choice([*DETOURS, *STRAY])
    draft.target = dice.choice(
        [
            draft.target[:at] + detour + draft.target[at:],
            draft.target + detour + b"x",
            dice.choice(TARGETS),
            b"http://evil.example" + draft.target,
        ]
    )


def _version(draft: Draft, dice: Random) -> None:
    draft.version = dice.choice([*VERSIONS, _with_stray(draft.version, dice)])


def _gap(draft: Draft, dice: Random) -> None:
    draft.gaps[dice.randrange(2)] = dice.choice(GAPS)


def _line_end(draft: Draft, dice: Random) -> None:
    if dice.random() < 0.3:
        draft.eol = dice.choice(EOLS)
    elif dice.random() < 0.3:
        draft.end = dice.choice(EOLS)
    elif draft.fields:
        dice.choice(draft.fields).eol = dice.choice(EOLS)


def _name(draft: Draft, dice: Random) -> None:
    if not draft.fields:
        return
    one = dice.choice(draft.fields)
    one.name = dice.choice(
        [
            _with_stray(one.name, dice),
            one.name.swapcase(),
            one.name.replace(b"-", b"_"),
            dice.choice(STRAY) + one.name,
            one.name + dice.choice(STRAY),
        ]
    )


def _colon(draft: Draft, dice: Random) -> None:
    if draft.fields:
        dice.choice(draft.fields).colon = dice.choice(COLONS)


def _value(draft: Draft, dice: Random) -> None:
    if not draft.fields:
        return
    one = dice.choice(draft.fields)
    stray = dice.choice(STRAY)
    one.value = dice.choice(
        [
            stray + one.value,
            one.value + stray,
            _with_stray(one.value, dice),
            one.value + b", " + one.value,
            b"",
            one.value.upper(),
            one.value + b"a" * dice.choice([1, 200, 9000, 70_000]),
        ]
    )


def _double_or_move(draft: Draft, dice: Random) -> None:
    if not draft.fields:
        return
    one = dice.choice(draft.fields)
    if dice.random() < 0.5:
        draft.fields.remove(one)
    if dice.random() < 0.8:
        draft.fields.insert(dice.randrange(len(draft.fields) + 1), replace(one))


def _add(draft: Draft, dice: Random) -> None:
    name, value = dice.choice(FIELDS)
    draft.fields.insert(dice.randrange(len(draft.fields) + 1), Field(name, value))


def _chunk(draft: Draft, dice: Random) -> None:
    if not draft.chunks:
        return
    one = dice.choice(draft.chunks)
    change = dice.randrange(6)
    if change == 0:
        one.size = dice.choice(SIZES)
    elif change == 1:
        one.eol = dice.choice(EOLS)
    elif change == 2:
        one.end = dice.choice(EOLS)
    elif change == 3:
        one.content = one.content[:-1] if dice.random() < 0.5 else one.content + b"x"
    elif change == 4:
        draft.chunks.remove(one)
    else:
        draft.chunks[-1].content = b"%s: %s\r\n" % dice.choice(FIELDS)


def _content(draft: Draft, dice: Random) -> None:
    draft.content = dice.choice(
        [draft.content[:-1], draft.content + b"x", draft.content + SMUGGLED, b"", SMUGGLED]
    )


def _with_stray(text: bytes, dice: Random) -> bytes:
    at = dice.randrange(len(text) + 1)
    return text[:at] + dice.choice(STRAY) + text[at:]


MUTATIONS: list[Callable[[Draft, Random], None]] = [
    _method,
    _target,
    _version,
    _gap,
    _line_end,
    _name,
    _colon,
    _value,
    _double_or_move,
    _add,
    _add,
    _chunk,
    _chunk,
    _content,
]


def _scrambled(stream: bytes, dice: Random) -> bytes:
    """Change bytes wherever they are: no grammar foresees everything."""
    at = dice.randrange(len(stream) + 1)
    to = min(len(stream), at + dice.randrange(1, 20))
    return dice.choice(
        [
            stream[:at],
            stream[:at] + stream[to:],
            stream[:to] + stream[at:],
            stream[:at] + dice.randbytes(1) + stream[at + 1 :],
            stream[:at] + dice.choice(STRAY) + stream[at:],
        ]
    )


def mutant(number: int, host: bytes, prefix: bytes) -> bytes:
    """Return the stream of requests that `number` stands for, to the route `prefix` of `host`.

    One in a hundred is left as it is: nothing would be shown if every request were refused.
    """
    dice = Random(number)
    drafts = [draft.copy() for draft in SEEDS[number % len(SEEDS)]]
    for draft in drafts:
        draft.target = prefix + draft.target
        draft.fields[0].value = host
    if dice.random() < 0.01:
        return b"".join(map(bytes, drafts))
    for _ in range(dice.choice([1, 1, 1, 2, 2, 3])):
        dice.choice(MUTATIONS)(dice.choice(drafts), dice)
    stream = b"".join(map(bytes, drafts))
    return _scrambled(stream, dice) if dice.random() < 0.15 else stream
