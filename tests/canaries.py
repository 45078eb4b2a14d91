"""Made-up secrets that can be found again wherever they leak to."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable

PREFIX = "canary-"
LENGTH = 40


def canary(slot: str) -> str:
    """Return a secret of 40 characters that no other slot and no other test has."""
    beginning = f"{PREFIX}{slot}-"
    return beginning + secrets.token_hex(LENGTH)[: LENGTH - len(beginning)]


def _in_base64(prefix: bytes) -> list[bytes]:
    """Return what Base64 makes of `prefix`, wherever in the encoded text it begins."""
    spellings = []
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + prefix)
        whole = (shift + len(prefix)) * 8 // 6  # the last character may hold bits of what follows
        spellings.append(encoded[(shift * 8 + 5) // 6 : whole])
    return spellings


SPELLINGS = (
    PREFIX.encode(),
    PREFIX.replace("-", "%2D").encode(),
    PREFIX.replace("-", "%2d").encode(),
    PREFIX.replace("-", r"\u002d").encode(),
    *_in_base64(PREFIX.encode()),
)


def holds_canary(content: bytes | str) -> bool:
    """Tell whether a made-up secret stands in `content`, also in an encoded form."""
    raw = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    return any(spelling in raw for spelling in SPELLINGS)


def leaks(sections: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names of pytest's captured sections that hold a made-up secret."""
    return [name for name, text in sections if holds_canary(text)]
