"""How a secret may be spelled where it is echoed: raw, JSON, percent-encoded, base64. Pure."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote_from_bytes, quote_plus

SAFE = ("", "/", "!*'()")  # what Python's quote, and JavaScript's encodeURIComponent, leave alone


def spellings(secret: str) -> frozenset[bytes]:
    """Return every spelling of `secret`, in UTF-8 and with ASCII letters in lower case.

    To be looked for without regard to case: servers change the case of fields, and hexadecimal
    digits have two. That a base64 text of another case is taken for it is next to impossible.
    """
    raw = as_bytes(secret)
    form = quote_plus(raw).encode()  # also what goes into Basic (RFC 6749 2.3.1)
    escaped = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    found = {raw, form, *map(as_bytes, escaped)}
    found |= {as_bytes(text.replace("/", r"\/")) for text in escaped}  # PHP's habit
    found |= {quote_from_bytes(raw, safe=safe).encode() for safe in SAFE}
    found |= {*_in_base64(raw), *_in_base64(form)}
    return frozenset(spelling.lower() for spelling in found)


def as_bytes(text: str) -> bytes:
    """Return `text` in UTF-8; what no UTF-8 is for came from bytes that were none."""
    return text.encode(errors="surrogatepass")


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """Yield what is always there when `raw` is part of a longer text (RFC 4648 4 and 5).

    A base64 digit holds 6 bits, so there are three alignments. A digit that also holds bits of a
    neighbour is no part of the spelling.
    """
    for before in range(3):
        first, end = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + raw)[first:end]
