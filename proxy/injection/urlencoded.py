"""Name=value pairs joined by `&`, as in a query or a form; edited without touching the rest. Pure.

Source: WHATWG URL, application/x-www-form-urlencoded. Names are compared as the most lenient server
may read them: decoded, `key[]` and `api.key` as PHP does, without regard to case as ASP.NET does,
and parted at semicolons too, as in HTML 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from urllib.parse import quote, unquote_plus

_SEPARATOR = re.compile(r"([&;])")
_LIKE_UNDERSCORE = re.compile(r"[. ]")
MOST_VALUES = 100


def without(text: str, name: str) -> str:
    """Return `text` without every pair called `name`; the other pairs keep their raw text."""
    folded = _folded(name)
    split = list(_pairs(text))
    kept = [(separator, raw) for separator, raw in split if not _is_called(raw, folded)]
    if len(kept) == len(split):
        return text
    return "".join(separator + raw for separator, raw in kept)[len(kept[0][0]) if kept else 0 :]


def values(text: str, name: str) -> list[str]:
    """Return the decoded values of every pair called `name`, up to a number that means mischief."""
    folded = _folded(name)
    found = (raw.partition("=")[2] for _, raw in _pairs(text) if _is_called(raw, folded))
    return [unquote_plus(value) for value in islice(found, MOST_VALUES)]


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield every pair after the separator that stands before it."""
    pieces = ["", *_SEPARATOR.split(text)]
    return zip(pieces[::2], pieces[1::2], strict=True)


def pair(name: str, value: str) -> str:
    """Return `name=value` with everything encoded that is not unreserved (RFC 3986 2.3)."""
    return f"{quote(name, safe='')}={quote(value, safe='')}"


def _is_called(raw_pair: str, folded: str) -> bool:
    raw_name = raw_pair.partition("=")[0]
    if not raw_name:
        return False
    if raw_name.isalnum():  # the common case, a hundred thousand times over in a hostile form
        return raw_name.lower() == folded
    return _folded(unquote_plus(raw_name)) == folded


def _folded(name: str) -> str:
    return _LIKE_UNDERSCORE.sub("_", name.partition("[")[0].strip().lower())
