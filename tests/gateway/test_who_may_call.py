"""Requests that are refused before they are led anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_samples import keyed
from proxying import BEGINNING, sidekey
from raw_client import ask, ask_raw
from raw_upstream import answering


async def test_a_further_name_can_be_allowed(tmp_path: Path) -> None:
    beginning = BEGINNING.replace("port: 0", "port: 0, allowed_hosts: [proxy.test, 'x.test:80']")
    async with (
        answering() as upstream,
        sidekey(tmp_path, keyed(upstream.origin), beginning=beginning) as proxy,
    ):
        statuses = [
            (await ask(proxy, "GET /r/a", host=host.format(port=proxy.port))).status
            for host in ("proxy.test:{port}", "x.test", "x.test:80", "proxy.test")
        ]
    assert statuses == [200, 200, 200, 421]


@pytest.mark.parametrize("site", ["none", "same-origin"])
async def test_a_human_at_the_address_bar_is_served(tmp_path: Path, site: str) -> None:
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        assert (await ask(proxy, "GET /r/a", f"Sec-Fetch-Site: {site}")).status == 200


async def test_a_message_that_is_no_http_is_a_problem_and_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Surprise 22: aiohttp's own refusal is a text that quotes the message, in the log too."""
    async with answering() as upstream, sidekey(tmp_path, keyed(upstream.origin)) as proxy:
        answer = await ask(proxy, "GET /r/a", "X : Bearer canary-of-the-client")
        host = b"Host: localhost:%d\r\nAuthorization: canary\x00of-the-client\r\n\r\n" % proxy.port
        await ask_raw(proxy, b"GET /r/a?token=canary HTTP/1.1\r\n" + host)
    assert (answer.status, answer.field("Sidekey-Error")) == (400, ["bad-message"])
    assert b"canary" not in answer.content
    assert "canary" not in caplog.text
