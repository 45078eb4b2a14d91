"""Compressed answers pass as they are; what they would inflate to is the client's concern."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest
from command_line import Home
from faulty import answer_of, saying
from gateway_samples import keyed
from hostile_fixtures import Attack
from raw_client import raw_client
from raw_upstream import OK, Conversation, conversing, response

MIB = 2**20
GROWTH = 16 * MIB
TEXT = b"text " * 500
CODED = {
    "gzip": gzip.compress(TEXT, mtime=0),
    "deflate": zlib.compress(TEXT),
    "br": b"\x0b\x02\x80hello\x03",  # RFC 7932
    "zstd": b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello",  # RFC 8878: one raw block
    "x-unknown": bytes(range(256)),
}


@pytest.mark.case("R19")
@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("line", ["GET /r/a", "GET /q/a"])
async def test_a_compressed_answer_is_byte_for_byte_the_same(
    attack: Attack, line: str, coding: str
) -> None:
    fields = (f"Content-Encoding: {coding}", "Content-Type: text/plain", 'ETag: "x"')
    sent = response("200 OK", CODED[coding], *fields)
    answer = await answer_of(saying(sent), attack, line, f"Accept-Encoding: {coding}")
    assert answer.content == CODED[coding]
    assert answer.field("Content-Encoding") == [coding]
    assert answer.field("Content-Length") == [str(len(CODED[coding]))]


@pytest.mark.case("R19")
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_content_that_is_not_what_it_claims_passes_too(attack: Attack, coding: str) -> None:
    sent = response("200 OK", b"no such thing", f"Content-Encoding: {coding}")
    assert (await answer_of(saying(sent), attack)).content == b"no such thing"


def bomb() -> bytes:
    """Return 10 GiB of zeros, compressed to about 10 MB."""
    compress = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    first = compress.compress(bytes(16 * MIB)) + compress.flush(zlib.Z_FULL_FLUSH)
    block = compress.compress(bytes(16 * MIB)) + compress.flush(zlib.Z_FULL_FLUSH)
    return first + block * (10 * 1024 // 16 - 1)  # no end: nobody here should come to it


@pytest.mark.case("R19")
@pytest.mark.parametrize("more", ["", 'reject_on: [{status: 200, contains: "invalid_token"}]'])
async def test_a_bomb_passes_in_flat_memory(tmp_path: Path, more: str) -> None:
    """Also where the beginning is looked into, for words that mean a rejection."""
    sent = bomb()
    fields = ("Content-Encoding: gzip", "Content-Type: application/json")

    async def converse(peer: Conversation) -> None:
        while True:
            head = await peer.head()
            is_bomb = head.target == "/bomb"
            await peer.send(response("200 OK", sent, *fields) if is_bomb else OK)

    home = Home(tmp_path)
    async with conversing(converse) as upstream:
        text = keyed(upstream.origin, more=more).replace("\n", "\n  ")
        home.configure(f"store: {{type: memory}}\nupstreams:\n  {text}\n")
        async with home.serving() as process:
            port = int((await process.address()).rpartition(":")[2])
            async with raw_client(port) as client:
                host = f"Host: localhost:{port}\r\n\r\n".encode()
                await client.send(b"GET /r/a HTTP/1.1\r\n" + host)
                assert (await client.answer()).status == 200
                before = process.peak
                await client.send(b"GET /r/bomb HTTP/1.1\r\n" + host)
                answer = await client.answer()
            assert answer.ended
            assert answer.content == sent
            assert process.peak - before < GROWTH
