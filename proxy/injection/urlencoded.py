"""Name=value pairs joined by `&`, as in a query or a form; edited without touching the rest. Pure.

Source: WHATWG URL, application/x-www-form-urlencoded.
"""

from __future__ import annotations

from urllib.parse import quote, unquote_plus, unquote_to_bytes


def without(text: str, name: str) -> str:
    """Return `text` without every pair called `name`; the other pairs keep their raw text.

    Names are compared decoded, since `%69` is `i` to every upstream.
    """
    pairs = text.split("&")
    kept = [pair for pair in pairs if not _is_called(pair, name)]
    return text if len(kept) == len(pairs) else "&".join(kept)


def values(text: str, name: str) -> list[str]:
    """Return the decoded values of every pair called `name`."""
    raw = (pair.partition("=")[2] for pair in text.split("&") if _is_called(pair, name))
    return [unquote_plus(value) for value in raw]


def pair(name: str, value: str) -> str:
    """Return `name=value` with everything encoded that is not unreserved (RFC 3986 2.3)."""
    return f"{quote(name, safe='')}={quote(value, safe='')}"


def _is_called(raw_pair: str, name: str) -> bool:
    raw_name = raw_pair.partition("=")[0]
    if not raw_name:
        return False
    return unquote_to_bytes(raw_name.replace("+", " ")) == name.encode()
