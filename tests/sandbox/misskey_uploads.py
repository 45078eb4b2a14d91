"""The multipart requests behind the recordings of drive/files/create, by the name of the case."""

from __future__ import annotations

import struct
import zlib

from misskey_client import Exchange

BOUNDARY = b"BBB"
FORM_TYPE = "multipart/form-data; boundary=BBB"


def part(name: str, content: bytes, *, filename: str | None = None, **more: str) -> bytes:
    """One part of a form; `more` are header fields with underscores for hyphens."""
    disposition = f'form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    fields = {"Content_Disposition": disposition, **more}
    head = "".join(f"{key.replace('_', '-')}: {value}\r\n" for key, value in fields.items())
    return b"--" + BOUNDARY + b"\r\n" + head.encode() + b"\r\n" + content + b"\r\n"


def i_part(token: str = "{account}", **more: str) -> bytes:
    """The token as a form field."""
    return part("i", token.encode(), **more)


def file_part(content: bytes = b"hello\n", filename: str = "a.txt", name: str = "file") -> bytes:
    """A file."""
    return part(name, content, filename=filename, Content_Type="application/octet-stream")


def upload(
    *parts: bytes,
    target: str = "/api/drive/files/create",
    bearer: str | None = None,
    content_type: str = FORM_TYPE,
    chunked: bool = False,
) -> Exchange:
    """A form that is sent in one piece."""
    headers = [("Content-Type", content_type)]
    if bearer is not None:
        headers.append(("Authorization", f"Bearer {bearer}"))
    body = b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"
    return Exchange("POST", target, tuple(headers), (body,), chunked=chunked)


def in_pieces(exchange: Exchange, *pieces: bytes) -> Exchange:
    """The same request with its body split: each of `pieces` starts after a pause."""
    body = exchange.body[0]
    split = []
    for piece in pieces:
        head, _, rest = body.partition(piece)
        split.append(head)
        body = piece + rest
    return Exchange(exchange.method, exchange.target, exchange.headers, (*split, body))


def _png() -> bytes:
    """A picture of one pixel."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\x64\x64\x64")),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


BAD = "badbadbadbadbad0"
LARGE = bytes(range(256)) * 12_000
_AFTER = upload(file_part(), i_part())

UPLOADS: dict[str, Exchange] = {
    "6a i before file": upload(i_part(), file_part()),
    "6b i after file (small)": _AFTER,
    "6b2 i after 3 MB file": upload(file_part(LARGE, "b.bin"), i_part()),
    "6b3 i after file; 400 ms pause between end of file part and the i part": in_pieces(
        _AFTER, b'Content-Disposition: form-data; name="i"'
    ),
    "6b4 i after file; pause in the middle of the i value": in_pieces(_AFTER, b"\r\n--BBB--"),
    "6c header only": upload(file_part(), bearer="{account}"),
    "6c2 header good, field i bad": upload(i_part(BAD), file_part(), bearer="{account}"),
    "6c3 header bad, field i good": upload(i_part(), file_part(), bearer=BAD),
    "6d i twice good good": upload(i_part(), i_part(), file_part()),
    "6d2 i twice good before, bad before": upload(i_part(), i_part(BAD), file_part()),
    "6d3 i good before, bad after file": upload(i_part(), file_part(), i_part(BAD)),
    "6d4 i bad before, good after file": upload(i_part(BAD), file_part(), i_part()),
    "6d5 i good before, bad after 3 MB file": upload(
        i_part(), file_part(LARGE, "c.bin"), i_part(BAD)
    ),
    "6e no i": upload(file_part()),
    "6e2 i bad": upload(i_part(BAD), file_part()),
    "6e3 i empty": upload(i_part(""), file_part()),
    "6e4 i null text": upload(i_part("null"), file_part()),
    "6f no file part": upload(i_part()),
    "6f2 no file part, header": upload(part("name", b"x"), bearer="{account}"),
    "6g two files": upload(i_part(), file_part(b"first 1", "1.txt"), file_part(b"second", "2.txt")),
    "6h file under other field name": upload(
        i_part(), file_part(b"other name", "1.txt", name="document")
    ),
    "6i isSensitive true + name + comment": upload(
        i_part(),
        part("isSensitive", b"true"),
        part("name", b"na.txt"),
        part("comment", b"c"),
        part("folderId", b"null"),
        part("force", b"true"),
        file_part(b"zzzzz\n", "zz.txt"),
    ),
    "6i2 isSensitive garbage": upload(i_part(), part("isSensitive", b"yes"), file_part()),
    "6i3 unknown field": upload(i_part(), part("zzz", b"yes"), file_part(b"qq\n", "q.txt")),
    "6i4 isSensitive true, name, comment, force": upload(
        i_part(),
        part("isSensitive", b"true"),
        part("name", b"na.txt"),
        part("comment", b"c"),
        part("force", b"true"),
        file_part(b"zzzzz\n", "zz.txt"),
    ),
    "6i5 folderId null text only": upload(i_part(), part("folderId", b"null"), file_part()),
    "6j app token lacking write:drive": upload(i_part("{notes}"), file_part()),
    "6l same content twice (dedupe) first": upload(i_part(), file_part(b"same", "s.txt")),
    "6n PNG": upload(i_part(), file_part(_png(), "p.png")),
    "10b multipart chunked": upload(i_part(), file_part(b"ck", "ck.txt"), chunked=True),
    "10b2 multipart quoted boundary + charset": upload(
        i_part(),
        file_part(b"ck2", "ck2.txt"),
        content_type='multipart/form-data; charset=utf-8; boundary="BBB"',
    ),
    "10b3 multipart with preamble": upload(
        b"This is a preamble.\r\n", i_part(), file_part(b"ck3", "ck2.txt")
    ),
    "10b4 multipart name=i unquoted": upload(
        i_part().replace(b'name="i"', b"name=i"), file_part(b"ck4", "ck2.txt")
    ),
    "10b5 i part with Content-Type text/plain": upload(
        i_part(Content_Type="text/plain"), file_part(b"ck5", "ck2.txt")
    ),
    "10b6 i part with Content-Type application/json": upload(
        i_part(Content_Type="application/json"), file_part()
    ),
}
