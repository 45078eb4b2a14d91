"""Entries and attempts as JSON bytes, and back. Pure.

The bytes hold secrets in the clear; times are ISO 8601 in UTC. What cannot be read raises
`RecordError`, which never quotes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from proxy.credentials.attempts import Attempt, Attempts, End
from proxy.credentials.entry import Entry
from proxy.credentials.secret import Secret
from proxy.credentials.token import Token

_ENTRY = frozenset(
    {
        "value",
        "expires_at",
        "assumed",
        "refresh_token",
        "refresh_expires_at",
        "outputs",
        "generation",
        "series",
        "obtained_at",
        "forced_at",
        "rejected",
    }
)
_DEFAULTS = {  # of what the entries of the first sidekey lack
    "assumed": False,
    "generation": 1,
    "series": "",
    "obtained_at": None,
    "forced_at": None,
    "rejected": False,
}
_ATTEMPT = frozenset({"at", "generation", "end", "words"})
_FIRST_MARK = "rejected"  # among the outputs: how the first sidekey marked a rejected token


class RecordError(ValueError):
    """The bytes are no record of this version; they may be one of a later one."""


def encode(entry: Entry) -> bytes:
    """Return `entry` as JSON."""
    token = entry.token
    record = {
        "value": token.value.reveal(),
        "expires_at": _time_text(token.expires_at),
        "assumed": token.assumed,
        "refresh_token": None if token.refresh_token is None else token.refresh_token.reveal(),
        "refresh_expires_at": _time_text(token.refresh_expires_at),
        "outputs": dict(token.outputs),
        "generation": entry.generation,
        "series": entry.series,
        "obtained_at": _time_text(entry.obtained_at),
        "forced_at": _time_text(entry.forced_at),
        "rejected": entry.rejected,
    }
    return json.dumps(record).encode()


def decode(content: bytes) -> Entry:
    """Return the entry in `content`."""
    record = _fields(_parsed(content), _ENTRY, _DEFAULTS)
    refresh_token = record["refresh_token"]
    outputs = _outputs(record["outputs"])
    token = Token(
        value=Secret(_text(record["value"])),
        expires_at=_time(record["expires_at"]),
        assumed=_flag(record["assumed"]),
        refresh_token=None if refresh_token is None else Secret(_text(refresh_token)),
        refresh_expires_at=_time(record["refresh_expires_at"]),
        outputs={name: text for name, text in outputs.items() if name != _FIRST_MARK},
    )
    return Entry(
        token,
        generation=_number(record["generation"]),
        series=_text(record["series"], may_be_empty=True),
        obtained_at=_time(record["obtained_at"]),
        forced_at=_time(record["forced_at"]),
        rejected=_flag(record["rejected"]) or _FIRST_MARK in outputs,
    )


def encode_attempts(attempts: Attempts) -> bytes:
    """Return `attempts` as JSON."""
    made = [
        {
            "at": _time_text(one.at),
            "generation": one.generation,
            "end": one.end,
            "words": one.words,
        }
        for one in attempts.made
    ]
    return json.dumps(made).encode()


def decode_attempts(content: bytes) -> Attempts:
    """Return the attempts in `content`."""
    made = _parsed(content)
    if not isinstance(made, list):
        raise RecordError("the record is no list of attempts")
    return Attempts(tuple(_attempt(_fields(one, _ATTEMPT)) for one in made))


def _attempt(record: Mapping[str, Any]) -> Attempt:
    at, end = _time(record["at"]), record["end"]
    if at is None or end not in get_args(End):
        raise RecordError("the record holds an attempt without a time or an end")
    words = _text(record["words"], may_be_empty=True)
    return Attempt(at, _number(record["generation"]), end, words)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise RecordError("the record is no JSON") from None


def _fields(
    record: Any, expected: frozenset[str], defaults: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    if not isinstance(record, dict) or {**(defaults or {}), **record}.keys() != expected:
        raise RecordError("the record has other fields than this version writes")
    return {**(defaults or {}), **record}


def _text(value: Any, *, may_be_empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or may_be_empty):
        raise RecordError("the record holds something else where a text belongs")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RecordError("the record holds something else where a number belongs")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise RecordError("the record holds something else where yes or no belongs")
    return value


def _outputs(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise RecordError("the record's outputs are no texts")
    return value


def _time_text(time: datetime | None) -> str | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError("a token's times are aware")
    return time.astimezone(UTC).isoformat()


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(_text(value))
    except ValueError:
        raise RecordError("the record holds something else where a time belongs") from None
    if time.utcoffset() != timedelta(0):
        raise RecordError("the record holds a time that is not in UTC")
    return time.astimezone(UTC)
