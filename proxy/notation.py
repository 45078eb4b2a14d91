"""How durations, sizes, rates, URLs and choices are written. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

DEFAULT_PORTS = {"http": ":80", "https": ":443"}
UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
SIZES = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "KiB": 2**10,
    "MB": 10**6,
    "MiB": 2**20,
    "GB": 10**9,
    "GiB": 2**30,
}
_MICROSECOND = timedelta(microseconds=1)
_LONGEST = timedelta(days=100 * 365)
_DURATION = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d{1,20}) ?([A-Za-z]*)")
_RATE = re.compile(r"(\d{1,20})/(s|m|h)")


class Frozen(BaseModel):
    """A frozen model that refuses unknown keys and never shows its input in an error.

    The text below a field describes it, in the JSON Schema and in the reference.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


def parse_duration(value: object) -> object:
    """Turn `90s`, `5m`, `24h`, `7d` or `1h30m` into a `timedelta`.

    Raises `ValueError` for anything else that is text or a bare number: 5 could mean anything.
    """
    if isinstance(value, timedelta):
        return value
    text = str(value).strip()
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("expected a duration such as 90s, 5m, 24h or 7d")
    microseconds = sum(Fraction(number) * (UNITS[unit] // _MICROSECOND) for number, unit in parts)
    if not 1 <= microseconds <= _LONGEST // _MICROSECOND:
        raise ValueError("expected a duration above zero and under 100 years")
    return round(microseconds) * _MICROSECOND


def duration_text(span: timedelta) -> str:
    """Return a duration in the largest unit that divides it: `90m`, `7d`."""
    for unit, size in reversed(UNITS.items()):
        if not span % size:
            return f"{span // size}{unit}"
    return f"{span / UNITS['ms']}ms"


def parse_size(value: object) -> object:
    """Turn `64KiB`, `10MB` or a bare number of bytes into bytes; raise `ValueError` otherwise."""
    found = _SIZE.fullmatch(str(value).strip())
    if isinstance(value, bool) or found is None or found[2] not in SIZES:
        raise ValueError("expected a size such as 64KiB, 10MB or 65536")
    return int(found[1]) * SIZES[found[2]]


def size_text(size: int) -> str:
    """Return a size in the largest unit that divides it: `64KiB`, `10MB`, `1500`."""
    unit = max((unit for unit in SIZES if not size % SIZES[unit]), key=SIZES.__getitem__)
    return f"{size // SIZES[unit]}{unit}"


def parse_rate(value: object) -> object:
    """Turn `10/s`, `120/m` or `1000/h` into requests a second; raise `ValueError` otherwise."""
    found = _RATE.fullmatch(str(value).strip())
    if found is None or int(found[1]) == 0:
        raise ValueError("expected a rate such as 10/s, 120/m or 1000/h")
    return int(found[1]) / UNITS[found[2]].total_seconds()


def rate_text(rate: float) -> str:
    """Return requests a second as a whole number of them in the shortest time: `2/s`, `10/m`."""
    for unit in ("s", "m"):
        count = rate * UNITS[unit].total_seconds()
        if count > 0.5 and math.isclose(count, round(count)):
            return f"{round(count)}/{unit}"
    return f"{round(rate * UNITS['h'].total_seconds())}/h"


def check_url(value: str) -> str:
    """Return an absolute http(s) URL as written, or raise `ValueError` with the reason."""
    if not all("!" <= c <= "~" for c in value):
        raise ValueError("a URL holds no spaces and no characters outside ASCII")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an absolute URL such as https://api.example.com/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must hold no user or password")
    if "#" in value:
        raise ValueError("a URL must hold no fragment")
    _check_port(parts)
    return value


def _check_port(parts: SplitResult) -> None:
    try:
        parts.port  # noqa: B018  raises ValueError when it is no port
    except ValueError:
        raise ValueError("the port of a URL is a number up to 65535") from None


def check_base_url(value: str) -> str:
    """Return an absolute http(s) URL without query and trailing slash, or raise `ValueError`."""
    if "?" in check_url(value):
        raise ValueError("a base URL must hold no query")
    return value.rstrip("/")


def any_of(names: Sequence[str]) -> str:
    """Return the names as those of which one is to be chosen: `a`, `a or b`, `one of a, b, c`."""
    return f"one of {', '.join(names)}" if len(names) > 2 else " or ".join(names)


def origin_of(url: str) -> str:
    """Return scheme, host and port of `url` in one spelling: `https://api.example.com`."""
    parts = urlsplit(url)
    default = DEFAULT_PORTS.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(default)}"


_DURATION_SCHEMA = {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"}
_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": r"^\d+ ?(B|kB|KiB|MB|MiB|GB|GiB)?$"},
    ]
}
_RATE_SCHEMA = {"type": "string", "pattern": r"^[1-9]\d*/(s|m|h)$"}
_URL_SCHEMA = {"type": "string", "pattern": r"^https?://[^\s@#]+$"}

Duration = Annotated[timedelta, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0), WithJsonSchema(_SIZE_SCHEMA)]
Rate = Annotated[float, BeforeValidator(parse_rate), WithJsonSchema(_RATE_SCHEMA)]
Url = Annotated[str, AfterValidator(check_url), WithJsonSchema(_URL_SCHEMA)]
BaseUrl = Annotated[str, AfterValidator(check_base_url), WithJsonSchema(_URL_SCHEMA)]
Status = Annotated[int, Field(ge=100, le=599)]
