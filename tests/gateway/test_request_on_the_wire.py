"""What the upstream gets is what the client sent, and the credential."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests
from gateway_samples import BEARER, HOP, keyed
from proxying import sidekey
from raw_client import ask, chunked
from raw_upstream import answering
from yarl import URL


@pytest.mark.parametrize(
    "rest",
    [
        "/a%20b?q=a+b&x=%2B&y=%7E&z=&&a=b%2Cc",
        "/a%7eb/%E6%97%A5?%E6%97=%zz&%=1&=&?&/..//",
        "//a//b/?",
        "/a;v=1/b,c:d@e!$&'()*+=~",
        "/?",
        "/%25",
        "/A%2Bb+c?refreshtoken=a%2Bb%2Fc&x=%7E",
    ],
)
async def test_path_and_query_arrive_byte_for_byte(tmp_path: Path, rest: str) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        assert (await ask(proxy, f"GET /r{rest}")).status == 200
    assert upstream.last.target == rest.removesuffix("?") if rest.endswith("?") else rest


async def test_fields_keep_their_order_duplicates_case_and_underscores(tmp_path: Path) -> None:
    """The portal's services read `Job_ID`, which many servers drop."""
    sent = ["b: 1", "Job_ID: 7", "A: 2", "b: 3", "X-Empty: ", "x-lower: x/y"]
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(proxy, "GET /r/a", *sent)
    others = [f"{name}: {value}" for name, value in upstream.last.fields][1:]
    assert others == [*sent, ": ".join(HOP), f"Authorization: {BEARER}"]


async def test_duplicates_in_another_case_arrive_all(tmp_path: Path) -> None:
    """aiohttp's client lets the last spelling replace the others."""
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(proxy, "GET /r/a", "x-a: 1", "X-A: 2", "b: 3", "x-A: 4")
    assert upstream.last.field("X-A") == ["1", "2", "4"]


async def test_field_values_in_utf_8_arrive_as_they_are(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(proxy, "GET /r/a", "X-Name: 東京 ü")
    assert "X-Name: 東京 ü\r\n".encode() in upstream.last.head


async def test_a_get_gets_nothing_but_host_the_credential_and_where_it_has_been(
    tmp_path: Path,
) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(proxy, "GET /r/a")
    host = upstream.origin.removeprefix("http://")
    assert upstream.last.head.decode() == (
        f"GET /a HTTP/1.1\r\nHost: {host}\r\n{': '.join(HOP)}\r\nAuthorization: {BEARER}\r\n\r\n"
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_no_content_is_a_length_of_0_and_no_content_type(tmp_path: Path, method: str) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(proxy, f"{method} /r/a", "Content-Length: 0")
        await ask(proxy, f"{method} /r/a")
    for request in upstream.requests:
        assert request.field("Content-Length") == ["0"]
        names = {name for name, _ in request.fields}
        assert names == {"Host", "Sidekey-Hop", "Authorization", "Content-Length"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET"])
async def test_content_arrives_with_its_length_and_without_an_invented_type(
    tmp_path: Path, method: str
) -> None:
    content = bytes(range(256)) * 100
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        assert (await ask(proxy, f"{method} /r/a", content=content)).status == 200
    assert upstream.last.content == content
    assert upstream.last.field("Content-Length") == [str(len(content))]
    assert upstream.last.field("Content-Type") == upstream.last.field("Transfer-Encoding") == []


async def test_chunked_content_stays_chunked(tmp_path: Path) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        await ask(
            proxy,
            "POST /r/a",
            "Transfer-Encoding: chunked",
            "Trailer: X-Sum",
            "TE: trailers",
            content=chunked(b"ab", b"cde"),
        )
    assert upstream.last.content == b"abcde"
    assert upstream.last.field("Transfer-Encoding") == ["chunked"]
    assert upstream.last.field("Content-Length") == upstream.last.field("Trailer") == []


async def test_the_fields_of_real_clients_arrive_and_no_other(tmp_path: Path) -> None:
    """User-Agent, Accept and Accept-Encoding are the client's, or absent."""
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        url = proxy.url("r", "/a%2Cb?x=%2B")
        async with (
            aiohttp.ClientSession() as session,
            session.get(URL(url, encoded=True)) as answer,
        ):
            assert await answer.text() == "ok"
        async with httpx.AsyncClient() as client:
            assert (await client.get(url)).text == "ok"
        assert (await asyncio.to_thread(requests.get, url, timeout=10)).text == "ok"
        curl = await asyncio.create_subprocess_exec(
            "curl", "-s", url, stdout=asyncio.subprocess.PIPE
        )
        assert (await curl.communicate())[0] == b"ok"
    agents = [request.field("User-Agent")[0].partition("/")[0] for request in upstream.requests]
    assert agents == ["Python", "python-httpx", "python-requests", "curl"]
    assert [request.target for request in upstream.requests] == ["/a%2Cb?x=%2B"] * 4
    assert upstream.last.field("Accept-Encoding") == []
    assert [request.field("Authorization") for request in upstream.requests] == [[BEARER]] * 4
