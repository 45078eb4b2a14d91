"""Name=value pairs joined by `&`, as in a query or a form; edited without touching the rest. Pure.

Source: WHATWG URL, application/x-www-form-urlencoded. Names are compared as the most lenient server
may read them: decoded, `key[]` and `api.key` as PHP does, without regard to case as ASP.NET does,
and parted at semicolons too, as in HTML 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote_plus

_SEPARATOR = re.compile(r"([&;])")
_LIKE_UNDERSCORE = re.compile(r"[. ]")


def without(text: str, name: str) -> str:
    """Return `text` without every pair called `name`; the other pairs keep their raw text."""
    split = list(_pairs(text))
    kept = [(separator, raw) for separator, raw in split if not _is_called(raw, name)]
    if len(kept) == len(split):
        return text
    return "".join(separator + raw for separator, raw in kept)[len(kept[0][0]) if kept else 0 :]


def values(text: str, name: str) -> list[str]:
    """Return the decoded values of every pair called `name`."""
    return [unquote_plus(raw.partition("=")[2]) for _, raw in _pairs(text) if _is_called(raw, name)]


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield every pair after the separator that stands before it."""
    pieces = ["", *_SEPARATOR.split(text)]
    return zip(pieces[::2], pieces[1::2], strict=True)


def pair(name: str, value: str) -> str:
    """Return `name=value` with everything encoded that is not unreserved (RFC 3986 2.3)."""
    return f"{quote(name, safe='')}={quote(value, safe='')}"


def _is_called(raw_pair: str, name: str) -> bool:
    raw_name = raw_pair.partition("=")[0]
    return bool(raw_name) and _folded(unquote_plus(raw_name)) == _folded(name)


def _folded(name: str) -> str:
    return _LIKE_UNDERSCORE.sub("_", name.partition("[")[0].strip().lower())
