"""F24: llhttp's own request fixtures, sent through sidekey to an h11 upstream.

Each of the 166 is sent as it is, but for Host, to an upstream by its own name, so that its target
needs no prefix. What llhttp refuses has to be refused; what it reads has to arrive as it reads it,
or to be refused for a reason of ours that `STRICTER` names. Where a fixture tells llhttp to be
lenient, nothing may arrive but what it reads then.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from exchanges import Answers, exchange
from hostile_harness import Hostile
from llhttp_fixtures import FIXTURES, Fixture, fixtures
from strict_upstream import StrictRequest

STRICTER = {
    "connection: Multiple tokens with folding and LWS": 400,  # a websocket handshake without key
    "connection: Upgrade GET request": 400,  # another one, of a draft before RFC 6455
    "connection: Upgrade POST request": 400,  # a handshake is a GET
    "method: ANNOUNCE request with RTSP": 400,
    "method: CONNECT request": 400,
    "method: CONNECT request with CAPS": 400,
    "method: CONNECT with body": 400,
    "method: LINK request": 405,
    "method: M-SEARCH request": 400,  # of `*`
    "method: OPTIONS request with RTSP": 400,
    "method: PURGE request": 405,
    "method: QUERY request": 405,
    "method: REPORT request": 405,
    "method: SEARCH request": 405,
    "method: SOURCE request": 405,
    "method: SOURCE request with ICE": 400,
    "sample: No HTTP version": 505,  # HTTP/0.9
    "transfer-encoding: POST with `chunked` as last transfer-encoding": 501,
    "transfer-encoding: POST with `chunked` as last transfer-encoding (multiple headers)": 400,
    "uri: Fragment in URI": 400,
    "uri: Host terminated by a query string": 400,  # absolute form, as the three below
    "uri: Quotes in URI": 400,
    "uri: Underscore in hostname": 400,  # CONNECT
    "uri: `host:port` and basic auth": 400,
    "uri: `host:port` terminated by a query string": 400,
    "uri: `host:port` terminated by a space": 400,
}


@pytest.fixture(scope="module")
def folder(pytestconfig: pytest.Config) -> Path:
    """A folder that keeps the fixtures between runs, filled before any loop runs."""
    kept = pytestconfig.cache.mkdir("llhttp")
    try:
        fixtures(kept)
    except subprocess.CalledProcessError:
        if os.environ.get("SIDEKEY_TESTS"):
            raise
        pytest.skip("no package index to fetch the fixtures from")
    return kept


@pytest.mark.case("F24")
async def test_llhttps_fixtures_arrive_as_llhttp_reads_them_or_not_at_all(
    hostile: Hostile, folder: Path
) -> None:
    found = fixtures(folder)
    assert len(found) == FIXTURES
    wrong = {}
    for fixture in found:
        before = len(hostile.arrived)
        sent = fixture.to(hostile.host("r.localhost:{port}"))
        async with hostile.connect() as client:
            answers = await exchange(client, sent, max(1, len(fixture.messages)))
        if not is_right(fixture, answers, hostile.arrived[before:]):
            wrong[fixture.name] = (sent, answers.statuses, hostile.arrived[before:])
    assert wrong == {}


def is_right(fixture: Fixture, answers: Answers, arrived: list[StrictRequest]) -> bool:
    got = [(r.method, r.target.removeprefix("/base/v1"), r.content) for r in arrived if r.complete]
    read = [(m.method, m.target, m.content) for m in fixture.messages]
    if not fixture.strict:
        return got == read[: len(got)]
    if fixture.refused:
        refused = answers.refusals != () and len(arrived) == len(got)  # and nothing cut either
        return got == read[: len(got)] and (refused or got == read != [])
    if got == read:
        return True
    return (got, answers.refusals) == ([], (STRICTER.get(fixture.name),))
