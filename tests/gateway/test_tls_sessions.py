"""TLS to upstreams: the next connection goes on with the session of the last one."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import sidekey
from raw_client import ask
from raw_upstream import Conversation, conversing

CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_next_connection_to_a_host_goes_on_with_its_session(
    tmp_path: Path, trusted: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    trusted.minimum_version = trusted.maximum_version = version
    reused = []

    async def converse(peer: Conversation) -> None:
        await peer.request()
        reused.append(peer.writer.get_extra_info("ssl_object").session_reused)
        await peer.send(CLOSING)

    async with conversing(converse, tls=trusted) as upstream:
        origin = upstream.origin.replace("127.0.0.1", "localhost")
        async with sidekey(tmp_path, keyed(origin)) as proxy:
            for _ in range(3):
                assert (await ask(proxy, "GET /r/a")).content == b"ok"
    assert reused == [False, True, True]
