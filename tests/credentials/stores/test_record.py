"""Entries and attempts survive as JSON; what is none is refused and never quoted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.credentials.attempts import Attempt, Attempts, End
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.stores.record import decode, decode_attempts, encode, encode_attempts
from proxy.credentials.token import Token

TOKYO = timezone(timedelta(hours=9))
MOMENTS = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001  hypothesis asks for naive bounds
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, TOKYO]),
)
TIMES = st.none() | MOMENTS
SECRETS = st.text(min_size=1, max_size=50).map(Secret)
GENERATIONS = st.integers(min_value=0, max_value=2**40)
TOKENS = st.builds(
    Token,
    value=SECRETS,
    expires_at=TIMES,
    assumed=st.booleans(),
    refresh_token=st.none() | SECRETS,
    refresh_expires_at=TIMES,
    outputs=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3),
)
FIRST = {  # what the first sidekey wrote
    "value": "canary",
    "expires_at": "2026-03-01T12:00:00+00:00",
    "refresh_token": "canary",
    "refresh_expires_at": None,
    "outputs": {"user": "canary"},
}
RECORD = {
    **FIRST,
    "assumed": True,
    "generation": 7,
    "series": "0a1b2c3d",
    "obtained_at": "2026-03-01T11:00:00+00:00",
    "forced_at": None,
    "rejected": False,
}
ATTEMPT = {"at": "2026-03-01T11:00:00+00:00", "generation": 7, "end": "refused", "words": "canary"}


def as_json(record: object) -> bytes:
    return json.dumps(record).encode()


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        Entry,
        TOKENS,
        generation=GENERATIONS,
        obtained_at=TIMES,
        forced_at=TIMES,
        rejected=st.booleans(),
    )
)
def test_any_entry_survives(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.builds(Attempt, MOMENTS, GENERATIONS, st.sampled_from(get_args(End)), st.text()),
        max_size=5,
    ).map(lambda made: Attempts(tuple(made)))
)
def test_any_attempts_survive(attempts: Attempts) -> None:
    assert decode_attempts(encode_attempts(attempts)) == attempts


def test_times_are_written_in_utc() -> None:
    entry = Entry(Token(Secret("t"), expires_at=datetime(2026, 3, 1, 21, 0, tzinfo=TOKYO)))
    assert json.loads(encode(entry))["expires_at"] == "2026-03-01T12:00:00+00:00"
    assert decode(encode(entry)).token.expires_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_a_naive_time_is_refused() -> None:
    """Nobody could tell later which time zone was meant."""
    naive = datetime(2026, 3, 1, 12, 0)  # noqa: DTZ001  naive is what this is about
    with pytest.raises(ValueError, match="aware"):
        encode(Entry(Token(Secret("t"), expires_at=naive)))


def test_the_records_of_these_tests_are_good_ones() -> None:
    assert decode(as_json(RECORD)).token.value == Secret("canary")
    assert decode_attempts(as_json([ATTEMPT])).refusal == "canary"


def test_an_entry_of_the_first_sidekey_is_of_the_first_generation() -> None:
    entry = decode(as_json(FIRST))
    assert entry.token.refresh_token == Secret("canary")
    assert entry == Entry(entry.token, generation=1)


def test_its_mark_of_a_rejected_token_stays_one() -> None:
    """It stood among the outputs, and must not be told as a fact about the account."""
    entry = decode(as_json({**FIRST, "outputs": {"user": "canary", "rejected": "yes"}}))
    assert entry.rejected
    assert entry.token.outputs == {"user": "canary"}


@pytest.mark.parametrize(
    "changed",
    [
        {"value": None},
        {"value": ""},
        {"value": 7},
        {"refresh_token": ""},
        {"refresh_token": ["canary"]},
        {"expires_at": "canary"},
        {"expires_at": 1772366400},
        {"expires_at": "2026-03-01T12:00:00"},
        {"expires_at": "2026-03-01T21:00:00+09:00"},
        {"outputs": None},
        {"outputs": {"user": 7}},
        {"assumed": "canary"},
        {"generation": -1},
        {"generation": True},
        {"generation": "canary"},
        {"rejected": None},
        {"obtained_at": "canary"},
        {"canary": 1},
    ],
)
def test_a_field_that_is_no_entrys_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="record") as caught:
        decode(as_json(RECORD | changed))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("field", list(FIRST))
def test_a_missing_field_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="fields"):
        decode(as_json({name: RECORD[name] for name in RECORD if name != field}))


@pytest.mark.parametrize(
    "changed", [{"at": None}, {"generation": None}, {"refusal": ""}, {"canary": 1}]
)
def test_a_field_that_is_no_attempts_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="record") as caught:
        decode_attempts(as_json([ATTEMPT | changed]))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"canary", b"[1]", b"null", b"\xff", b"[" * 9999])
def test_what_is_none_of_both_is_refused(content: bytes) -> None:
    for read in (decode, decode_attempts):
        with pytest.raises(ValueError, match="record") as caught:
            read(content)
        assert "canary" not in str(caught.value)
