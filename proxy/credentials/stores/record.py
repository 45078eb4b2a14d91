"""A token as JSON bytes, and back. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from proxy.credentials.secret import Secret
from proxy.credentials.token import Token

_FIELDS = frozenset({"value", "expires_at", "refresh_token", "refresh_expires_at", "outputs"})


def encode(token: Token) -> bytes:
    """Return `token` as JSON, its secrets in the clear, its times as ISO 8601 in UTC."""
    refresh_token = token.refresh_token
    record = {
        "value": token.value.reveal(),
        "expires_at": _time_text(token.expires_at),
        "refresh_token": None if refresh_token is None else refresh_token.reveal(),
        "refresh_expires_at": _time_text(token.refresh_expires_at),
        "outputs": dict(token.outputs),
    }
    return json.dumps(record).encode()


def decode(content: bytes) -> Token:
    """Return the token in `content`; raise `ValueError`, which never quotes it, if it has none."""
    record = _parsed(content)
    if not isinstance(record, dict) or record.keys() != _FIELDS:
        raise ValueError("the record does not have the fields of a token")
    refresh_token = record["refresh_token"]
    return Token(
        value=Secret(_text(record["value"])),
        expires_at=_time(record["expires_at"]),
        refresh_token=None if refresh_token is None else Secret(_text(refresh_token)),
        refresh_expires_at=_time(record["refresh_expires_at"]),
        outputs=_outputs(record["outputs"]),
    )


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("the record is no JSON") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("the record holds something else where a text belongs")
    return value


def _outputs(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("the record's outputs are no texts")
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
        raise ValueError("the record holds something else where a time belongs") from None
    if time.utcoffset() != timedelta(0):
        raise ValueError("the record holds a time that is not in UTC")
    return time.astimezone(UTC)
