"""The Misskey sandbox against recordings of real servers, 2025.11.1 and 13.13.2.

`recorded/misskey.tsv` holds one line per case and version: status, Content-Type, WWW-Authenticate,
Retry-After and the body, of which the end is missing where it ends in "…". Tokens are masked.
Repeated rows of a loop stand once. Where the recording's table had lost a field, 4h6, 4l, 6b2, 6d5,
9i and the refused streams of chapter 7, it was filled in from the raw exchanges of that day.
Bodies are compared as far as they were recorded, after ids, tokens, times and origins are made
equal.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from misskey_client import Answer, send
from misskey_exchanges import Case
from misskey_flow_cases import CASES
from misskey_frames import SCENARIOS

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

CUT = "…"
PATIENCE = 0.3
"""Seconds in which a request without an answer has to stay without one."""

LEFT_OUT = {
    "create bob (admin)": "accounts are made by the sandbox itself",
    "create admin again, no i": "accounts are made by the sandbox itself",
    "gen carol": "accounts are made by the sandbox itself",
    "10c suspend": "accounts are suspended by the sandbox itself",
    "gen": "made tokens for other cases; the same request is replayed as 3c",
    "429 loop": "31 calls in a row; they come before 5e",
    "6m no final boundary?": "the recording does not show how the body ended",
    "6b5 i before file, chunks of 20 bytes": "replayed by test_a_form_in_small_pieces_is_accepted",
    "9f api.json": "the OpenAPI document is no part of the sandbox",
    "9g /api-doc": "a page of the real front-end",
    "9h manifest": "a file of the real front-end",
}

_UNLIKE = (
    (re.compile(r"http://127\.0\.0\.1:\d+"), "ORIGIN"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=[\"/])"), "UUID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "TIME"),
    (re.compile(r'"(token|secret|accessToken)":"[0-9A-Za-z]{32}"'), r'"\1":"TOKEN"'),
    (re.compile(r'"(id|userId)":"[0-9a-z]{10,16}"'), r'"\1":"ID"'),
    (re.compile(r'"(md5)":"[0-9a-f]{32}"'), r'"\1":"MD5"'),
    (re.compile(r'"(reset|resetMs|size)":\d+'), r'"\1":0'),
    (re.compile(r'"text":"[^"]*"'), '"text":"TEXT"'),
)
_UNLIKE_IN_ERRORS = ((re.compile(r'"(reset|resetMs)":\d+'), r'"\1":0'),)


class Recorded(NamedTuple):
    """One line of the recordings."""

    case: str
    version: str
    status: str
    content_type: str
    www_authenticate: str
    retry_after: str
    body: str


def _read_recordings() -> list[Recorded]:
    path = Path(__file__).parent / "recorded" / "misskey.tsv"
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [Recorded(*row) for row in rows[1:]]


RECORDINGS = _read_recordings()
REPLAYED = [row for row in RECORDINGS if row.case in CASES]
ACTED = [row for row in RECORDINGS if row.case in SCENARIOS]


def _name(row: Recorded) -> str:
    return f"{row.version} {row.case}"


def comparable(body: str) -> str:
    """A body without what is different each time; of a cut one, its whole members."""
    # The id of an error is what clients know it by: it has to be the same.
    patterns = _UNLIKE_IN_ERRORS if body.startswith('{"error":') else _UNLIKE
    for pattern, replacement in patterns:
        body = pattern.sub(replacement, body)
    if body.startswith("{") and body.endswith(CUT):
        return body.rpartition(",")[0]
    return body.removesuffix(CUT)


def learn(values: dict[str, str], answer: Answer) -> None:
    """Take over what later requests refer to."""
    answered = answer.json()
    values |= {name: value for name, value in answered.items() if isinstance(value, str)}
    if "createdNote" in answered:
        values["note"] = re.findall(r'"id":"(\w+)"', answer.body)[0]
    if "url" in values:
        values["path"] = urlsplit(values["url"]).path
    if "accessToken" in values:
        digest = hashlib.sha256((values["accessToken"] + values["secret"]).encode()).hexdigest()
        values |= {"digest": digest, "DIGEST": digest.upper()}


def tokens_of(sandbox: MisskeySandbox) -> dict[str, str]:
    """The tokens that the requests are filled in with."""
    notes = sandbox.issue_token(["write:notes", "nonsense:perm"])
    rights = ["read:account", "write:notes", "write:drive", "read:drive"]
    return {
        "native": sandbox.native_token,
        "notes": notes,
        "NOTES": notes.swapcase(),
        "account": sandbox.issue_token(rights),
        "empty": sandbox.issue_token([]),
        "suspended": sandbox.add_suspended_user("carol"),
    }


async def replay(sandbox: MisskeySandbox, case: Case, *, patience: float | None) -> Answer | None:
    """Send what came before, then the request of the case."""
    values = tokens_of(sandbox)
    async with serve(sandbox.application()) as origin:
        for exchange in case.before:
            answer = await send(origin, exchange.filled_in(values))
            assert answer is not None
            learn(values, answer)
        return await send(origin, case.last.filled_in(values), patience=patience)


@pytest.mark.parametrize("row", REPLAYED, ids=_name)
async def test_the_sandbox_answers_as_the_real_server_did(row: Recorded) -> None:
    case = CASES[row.case]
    sandbox = MisskeySandbox(row.version, rate_limits=case.rate_limits, federation=case.federation)
    if row.status == "no-answer":
        assert await replay(sandbox, case, patience=PATIENCE) is None
        return
    answer = await replay(sandbox, case, patience=None)
    assert answer is not None
    assert str(answer.status) == row.status, answer
    assert answer.field("www-authenticate") == row.www_authenticate
    assert answer.field("retry-after") == row.retry_after
    if row.case.startswith("7"):
        return  # recorded from the raw socket: content was not written down
    assert answer.field("content-type") == row.content_type
    if row.body.endswith(CUT):
        assert comparable(answer.body).startswith(comparable(row.body))
    else:
        assert comparable(answer.body) == comparable(row.body)


@pytest.mark.parametrize("row", ACTED, ids=_name)
async def test_the_stream_says_what_the_real_server_said(row: Recorded) -> None:
    sandbox = MisskeySandbox(row.version)
    tokens = tokens_of(sandbox)
    async with serve(sandbox.application()) as origin:
        await SCENARIOS[row.case](origin, tokens)


def test_every_recorded_case_is_replayed_or_left_out_for_a_reason() -> None:
    cases = {row.case for row in RECORDINGS}
    assert set(CASES) | set(SCENARIOS) | set(LEFT_OUT) == cases
    assert len(CASES) + len(SCENARIOS) + len(LEFT_OUT) == len(cases)


async def test_a_form_in_small_pieces_is_accepted() -> None:
    """The case "6b5", whose pieces need no pause between them."""
    sandbox = MisskeySandbox()
    exchange = CASES["6a i before file"].last.filled_in(tokens_of(sandbox))
    body = exchange.body[0]
    pieces = [body[start : start + 20] for start in range(0, len(body), 20)]
    async with serve(sandbox.application()) as origin:
        parts = urlsplit(origin)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for piece in [exchange.pieces(parts.netloc)[0], *pieces]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        writer.close()
