"""Reads what token endpoints answer: JSON, tokens, expiries, refusals. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from proxy.credentials.secret import Secret
from proxy.credentials.token import TokenResponse
from proxy.errors import AnswerUnusable, GrantRejected, TokenEndpointUnreachable

TOKEN_LIMIT = 16 * 1024  # characters; the longest known is J-Quants' refresh token with 2 kB
TRANSIENT = frozenset({408, 425, 429})
MILLISECONDS_FROM = 1e11  # seconds since 1970 reach this in the year 5138
_REASONS = ("error", "error_description", "message", "Message", "code", "Code")


def read_object(response: TokenResponse, accepted: Iterable[int] = (200, 201)) -> dict[str, Any]:
    """Return the JSON object of a successful answer.

    Raises `TokenEndpointUnreachable` where trying again may help (408, 425, 429, 5xx, no JSON),
    `GrantRejected` for every other status, and for `error` in a success (RFC 6749 5.2 asks for 400;
    Slack, GitHub and others answer 200).
    """
    if response.status >= 500 or response.status in TRANSIENT:
        raise TokenEndpointUnreachable(
            f"the token endpoint answered {response.status}", retry_after=retry_after(response)
        )
    answer = parse(response.content)
    if response.status not in accepted:
        raise GrantRejected(f"the token endpoint answered {response.status}{reason(answer)}")
    if not isinstance(answer, dict):
        raise TokenEndpointUnreachable(
            f"the token endpoint answered {response.status} without a JSON object"
        )
    if answer.get("error"):
        raise GrantRejected(f"the token endpoint answered {response.status}{reason(answer)}")
    return answer


def parse(content: bytes) -> Any:
    """Return what the JSON `content` holds, `None` if it is no JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def reason(answer: Any) -> str:
    """Return the refusal's own words as `: error, error_description`, or an empty text."""
    if not isinstance(answer, Mapping):
        return ""
    said = [answer[key] for key in _REASONS if isinstance(answer.get(key), (str, int))]
    nested = answer.get("error")
    if isinstance(nested, Mapping):
        return reason(nested)
    words = ", ".join(printable(str(word)) for word in said if str(word))
    return f": {words}" if words else ""


def printable(text: str) -> str:
    """Return at most 300 characters of a stranger's `text`, safe for a terminal and for a log."""
    return "".join(c for c in text if c.isprintable())[:300]


def retry_after(response: TokenResponse) -> float | None:
    """Return the seconds of Retry-After (RFC 9110 10.2.3), at most an hour."""
    value = response.headers.get("Retry-After", "")
    return min(float(value), 3600.0) if value.isascii() and value.isdigit() else None


def pick(answer: Any, path: str) -> Any:
    """Return the value at a dotted path such as `data.token.0.value`, or `None`."""
    for step in path.split("."):
        if isinstance(answer, Mapping):
            answer = answer.get(step)
        elif isinstance(answer, list) and step.isdecimal() and int(step) < len(answer):
            answer = answer[int(step)]
        else:
            return None
    return answer


def token_at(answer: Any, path: str) -> Secret:
    """Return the token at `path`; raise `AnswerUnusable` if there is no usable one.

    Usable is printable ASCII without spaces: anything else could break out of a header field.
    The sign-in itself succeeded, so trying again would only sign in again, for nothing.
    """
    value = pick(answer, path)
    if not isinstance(value, str) or not value:
        raise AnswerUnusable(f"the token endpoint's answer has no token at '{path}'")
    return usable(value, path)


def usable(value: str, path: str) -> Secret:
    """Return `value` as a token, or raise `AnswerUnusable`."""
    if len(value) > TOKEN_LIMIT or not all("!" <= c <= "~" for c in value):
        raise AnswerUnusable(f"the token at '{path}' is no printable ASCII text")
    return Secret(value)


class Expiry(NamedTuple):
    """When a token expires; `assumed` if the answer tells nothing of it."""

    at: datetime | None
    assumed: bool


def expiry(
    response: TokenResponse, token: Secret, *, expires_in: Any, default: timedelta | None
) -> Expiry:
    """Return when `token` expires: as answered, else by default; a JWT's `exp` if earlier.

    An `exp` before the request was sent says that a clock is wrong, not that a new token is old.
    """
    lifetime = seconds(expires_in)
    if lifetime is not None:
        default = timedelta(seconds=lifetime)
    stated = None if default is None else response.sent_at + default
    claimed = by_our_clock(response, jwt_expiry(token))
    if claimed is None:
        return Expiry(stated, assumed=lifetime is None)
    return Expiry(claimed if stated is None else min(stated, claimed), assumed=False)


def by_our_clock(response: TokenResponse, time: datetime | None) -> datetime | None:
    """Return a time of the server's clock in that of ours, `None` unless it is yet to come."""
    if time is None:
        return None
    try:
        ours = time - response.skew
    except OverflowError:
        return None
    return ours if ours > response.sent_at else None


def seconds(value: Any) -> float | None:
    """Return a lifetime in seconds from a number or a text (PayPal sends text); else `None`."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if isinstance(value, bool) or not math.isfinite(number) or not 0 < number < 1e9:
        return None
    return number


def moment(value: Any) -> datetime | None:
    """Return the time in an ISO 8601 text or in seconds or milliseconds since 1970, as UTC."""
    if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
        return _iso_moment(value)
    try:
        number = float(value)
        if number >= MILLISECONDS_FROM:
            number /= 1000
        return datetime.fromtimestamp(number, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _iso_moment(text: str) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def jwt_expiry(token: Secret) -> datetime | None:
    """Return the `exp` claim (RFC 7519 4.1.4) without any verification: it is only a hint."""
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    claim = claims.get("exp") if isinstance(claims, dict) else None
    return moment(claim) if isinstance(claim, (int, float)) else None
