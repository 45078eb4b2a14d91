"""Bytes in an answer's head that cannot be written again, or not as they came."""

from __future__ import annotations

import pytest
from faulty import answer_of, facing, saying
from hostile_fixtures import Attack
from raw_client import check_problem
from raw_upstream import conversing


@pytest.mark.case("R07")
@pytest.mark.parametrize(
    "line",
    [
        b"200 OK\r\nX-Bad: a\x01b",
        b"200 OK\r\nX-Bad: \x7f",
        b"200 OK\r\nX-Bad: a\x00b",
        b"200 OK\r\nX-Bad: a\rb",
        b"200 OK\r\nX-Bad: a\rX-Worse: b",
        b"200 OK\r\nSet-Cookie: a\x01b",
        b"200 a\x01b",
        b"200 a\rb",
        b"200 \x7f",
    ],
)
async def test_a_control_byte_in_the_head_is_a_well_framed_502(attack: Attack, line: bytes) -> None:
    """aiohttp lets some of them in, and mis-frames the answer when it has to write it."""
    sent = b"HTTP/1.1 " + line + b"\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok"
    async with facing(attack, conversing(saying(sent))) as (hostile, _):
        for _ in range(2):
            answer = await hostile.ask("GET /r/a")
            check_problem(answer, 502, "upstream-unreachable")
            assert (answer.ended, answer.field("X-A")) == (True, [])


@pytest.mark.case("R07")
async def test_a_reason_phrase_that_is_no_utf_8_keeps_its_text(attack: Attack) -> None:
    sent = b"HTTP/1.1 200 \xfcber\r\nContent-Length: 2\r\n\r\nok"
    answer = await answer_of(saying(sent), attack)
    assert (answer.line, answer.content) == ("HTTP/1.1 200 über", b"ok")


@pytest.mark.case("R07")
async def test_a_field_that_is_no_utf8_keeps_its_text(attack: Attack) -> None:
    """Old servers name downloads in Latin-1; aiohttp can write UTF-8 only."""
    sent = "HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=café.txt\r\n"
    answer = await answer_of(saying(sent.encode("latin-1") + b"Content-Length: 0\r\n\r\n"), attack)
    assert answer.field("Content-Disposition") == ["attachment; filename=café.txt"]
