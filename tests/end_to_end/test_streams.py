"""Content flows while it comes, both ways, and ends as it ended."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import sidekey
from raw_client import ask, message, raw_client
from raw_upstream import OK, Conversation, answering, conversing, response

from proxy.events import RequestRefused

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 2**20
JSON = "Content-Type: application/json"
TWO_RULES = """
inject:
- {in: header, name: Authorization, format: "{token}"}
- {in: body, name: i, paths: [/json]}
"""


def framed(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


async def test_the_head_arrives_before_any_content_is_there(tmp_path: Path) -> None:
    seen = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await seen.wait()
        await peer.send(b"ok")

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        await client.send(message("GET /r/a", host=f"127.0.0.1:{proxy.port}"))
        await client.head()
        seen.set()
        assert await client.reader.readexactly(2) == b"ok"


@pytest.mark.parametrize("field", ["Content-Length: 6", "Transfer-Encoding: chunked"])
async def test_an_upload_arrives_before_the_client_has_sent_all_of_it(
    tmp_path: Path, field: str
) -> None:
    first_has_arrived = asyncio.Event()
    contents: list[bytes] = []

    async def converse(peer: Conversation) -> None:
        head = await peer.head()
        begun = await peer.reader.readuntil(b"abc")
        first_has_arrived.set()
        rest = await peer.reader.readuntil(b"def")
        contents.append(begun + rest)
        if head.field("Transfer-Encoding"):
            await peer.reader.readuntil(b"0\r\n\r\n")
        await peer.send(OK)

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        is_chunked = field.endswith("chunked")
        await client.send(message("POST /r/up", field, host=f"127.0.0.1:{proxy.port}"))
        await client.send(framed(b"abc") if is_chunked else b"abc")
        await first_has_arrived.wait()
        await client.send(framed(b"def") + b"0\r\n\r\n" if is_chunked else b"def")
        assert (await client.answer()).status == 200
    assert contents == [b"3\r\nabc\r\n3\r\ndef"] if is_chunked else [b"abcdef"]


async def test_a_multipart_upload_streams_although_a_field_is_injected(tmp_path: Path) -> None:
    """Surprise 14."""
    first_has_arrived = asyncio.Event()

    async def converse(peer: Conversation) -> None:
        await peer.head()
        await peer.reader.readuntil(b"first")
        first_has_arrived.set()
        await peer.reader.readuntil(b"--b--")
        await peer.send(OK)

    more = "inject: {in: body, name: i}"
    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
        raw_client(proxy.port) as client,
    ):
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nfirst'
        fields = ("Content-Type: multipart/form-data; boundary=b", "Transfer-Encoding: chunked")
        await client.send(message("POST /r/up", *fields, host=f"127.0.0.1:{proxy.port}"))
        await client.send(framed(head + b"x" * 1000))
        await first_has_arrived.wait()
        await client.send(framed(b"second\r\n--b--\r\n") + b"0\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_an_answer_may_come_while_the_upload_still_goes_on(tmp_path: Path) -> None:
    async def converse(peer: Conversation) -> None:
        await peer.head()
        await peer.send(response("413 Payload Too Large", b""))
        await peer.reader.read()

    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin)) as proxy,
        raw_client(proxy.port) as client,
    ):
        head = message("POST /r/up", f"Content-Length: {MIB}", host=f"127.0.0.1:{proxy.port}")
        await client.send(head + b"x" * 1000)
        assert (await client.answer()).status == 413


async def test_an_upload_may_take_longer_than_the_upstream_may_take_to_answer(
    tmp_path: Path,
) -> None:
    """`timeouts.read` is the time between two pieces of an answer."""

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(OK)

    more = "timeouts: {read: 200ms}"
    async with (
        conversing(converse) as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
        raw_client(proxy.port) as client,
    ):
        head = message("POST /r/up", "Content-Length: 4", host=f"127.0.0.1:{proxy.port}")
        await client.send(head)
        for byte in (b"a", b"b", b"c", b"d"):
            await asyncio.sleep(0.1)
            await client.send(byte)
        assert (await client.answer()).status == 200


async def test_a_slow_reader_holds_the_upstream_back(tmp_path: Path) -> None:
    """What the client does not take is not read from the upstream: 64 MiB never fit in between."""
    written = [0]

    async def converse(peer: Conversation) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            await peer.send(b"x" * MIB)
            written[0] += MIB

    async with conversing(converse) as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        sock = socket.create_connection(("127.0.0.1", proxy.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(message("GET /r/a", host=f"127.0.0.1:{proxy.port}"))
        before = -1
        while written[0] != before:  # until nothing moves any more
            before = written[0]
            await asyncio.sleep(0.2)
        sock.close()
    assert written[0] < 32 * MIB


@pytest.mark.parametrize("more", ["", "inject: {in: body, name: i, max_size: 4000000}"])
async def test_curl_uploads_over_1_mib(tmp_path: Path, more: str) -> None:
    """curl asks before it sends so much."""
    content = b'{"a":"' + b"x" * (3 * MIB) + b'"}'
    (tmp_path / "content").write_bytes(content)
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=more)) as proxy,
    ):
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-sv", "-H", "Content-Type: application/json"),
            *("--data-binary", f"@{tmp_path}/content", proxy.url("r", "/a")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await curl.communicate()
    assert out == b"ok", (out, err[-2000:])
    assert b"Expect: 100-continue" in err
    assert b"HTTP/1.1 100 Continue" in err
    assert upstream.last.content[-len(content) + 1 :] == content[1:]


@pytest.mark.parametrize("content", [b"zz\r\nabc\r\n", b"3\r\nabcd\r\n", b"-1\r\n"])
@pytest.mark.parametrize("path", ["/json", "/stream"])
async def test_broken_chunks_of_the_client_are_the_clients_fault(
    tmp_path: Path, content: bytes, path: str
) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=TWO_RULES)) as proxy,
        raw_client(proxy.port) as client,
    ):
        fields = ("Transfer-Encoding: chunked", JSON, "Expect: 100-continue")
        await client.send(message(f"POST /r{path}", *fields, host=f"127.0.0.1:{proxy.port}"))
        await client.head()
        await client.send(framed(b"{") + content)
        answer = await client.answer()
        assert (answer.status, answer.field("Sidekey-Error")) == (400, ["bad-message"])
        assert len(proxy.told(RequestRefused)) == 1
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["/json", "/stream"])
async def test_a_client_that_leaves_in_the_middle_of_its_upload_breaks_nothing(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin, more=TWO_RULES)) as proxy,
    ):
        async with raw_client(proxy.port) as client:
            fields = ("Content-Length: 10", JSON)
            host = f"127.0.0.1:{proxy.port}"
            await client.send(message(f"POST /r{path}", *fields, host=host) + b"{")
            client.leave()
        assert (await ask(proxy, "GET /r/x")).status == 200
    assert [request.target for request in upstream.requests] == ["/x"]
    assert caplog.text == ""
