"""A token survives as JSON; what is no token's record is refused and never quoted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.credentials.secret import Secret
from proxy.credentials.stores.record import decode, encode
from proxy.credentials.token import Token

TOKYO = timezone(timedelta(hours=9))
TIMES = st.none() | st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001  hypothesis asks for naive bounds
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, TOKYO]),
)
SECRETS = st.text(min_size=1, max_size=50).map(Secret)
RECORD = {
    "value": "canary",
    "expires_at": "2026-03-01T12:00:00+00:00",
    "refresh_token": "canary",
    "refresh_expires_at": None,
    "outputs": {"user": "canary"},
}


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        Token,
        value=SECRETS,
        expires_at=TIMES,
        refresh_token=st.none() | SECRETS,
        refresh_expires_at=TIMES,
        outputs=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3),
    )
)
def test_any_token_survives(token: Token) -> None:
    assert decode(encode(token)) == token


def test_times_are_written_in_utc() -> None:
    token = Token(Secret("t"), expires_at=datetime(2026, 3, 1, 21, 0, tzinfo=TOKYO))
    assert json.loads(encode(token))["expires_at"] == "2026-03-01T12:00:00+00:00"
    assert decode(encode(token)).expires_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_a_naive_time_is_refused() -> None:
    """Nobody could tell later which time zone was meant."""
    naive = datetime(2026, 3, 1, 12, 0)  # noqa: DTZ001  naive is what this is about
    with pytest.raises(ValueError, match="aware"):
        encode(Token(Secret("t"), expires_at=naive))


def test_the_record_of_these_tests_is_a_good_one() -> None:
    assert decode(json.dumps(RECORD).encode()).value == Secret("canary")


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
        {"canary": 1},
    ],
)
def test_a_field_that_is_no_tokens_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="record") as caught:
        decode(json.dumps(RECORD | changed).encode())
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("field", list(RECORD))
def test_a_missing_field_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="fields"):
        decode(json.dumps({name: RECORD[name] for name in RECORD if name != field}).encode())


@pytest.mark.parametrize("content", [b"", b"canary", b"[]", b"null", b"\xff", b"[" * 9999])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="record") as caught:
        decode(content)
    assert "canary" not in str(caught.value)
