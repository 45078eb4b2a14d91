"""Raw request target -> which upstream and what rest of the path, or refusal. Pure.

Works on the raw text only: every URL library decodes or collapses something (measured: yarl turns
`/base/%2e%2e/admin` into `/admin`), and what is checked must be what is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from proxy.errors import BadTarget

TARGET_LIMIT = 16 * 1024  # characters; J-Quants' refresh token alone takes 2 kB
AS_SHOWN = "send the path as the API shows it, without dot segments and encoded slashes"
INSPECTIONS = 3  # rounds of decoding: one round let `%252e%252e` through in several proxies
_HEX = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True)
class Target:
    """A checked target: `path` is raw and empty or begins with `/`, `query` is raw without `?`."""

    path: str
    query: str


def parse(raw: str) -> Target:
    """Return the target of an origin-form request (RFC 9112 3.2.1); raise `BadTarget` otherwise."""
    if len(raw) > TARGET_LIMIT:
        raise BadTarget(f"the target is longer than {TARGET_LIMIT} characters", fix=AS_SHOWN)
    if not raw.startswith("/"):
        raise BadTarget("the request target must be a path such as /NAME/rest", fix=AS_SHOWN)
    if not all("!" <= c <= "~" for c in raw) or "#" in raw or "\\" in raw:
        raise BadTarget("the target holds characters that must be percent-encoded", fix=AS_SHOWN)
    path, _, query = raw.partition("?")
    _inspect(path)
    return Target(path, query)


def split_prefix(target: Target) -> tuple[str, Target]:
    """Split `/NAME/rest` into the name, compared as raw text, and the rest."""
    name, slash, rest = target.path[1:].partition("/")
    return name, Target(slash + rest, target.query)


def _inspect(path: str) -> None:
    """Refuse dot segments and separators in disguise, whatever the number of encodings."""
    _check_escapes(path)
    decoded = path.encode()
    for _ in range(INSPECTIONS):
        _check_segments(decoded)
        again = unquote_to_bytes(decoded)
        if again == decoded:
            return
        if again.count(b"/") != decoded.count(b"/"):
            raise BadTarget("the path holds an encoded slash", fix=AS_SHOWN)
        decoded = again
    _check_segments(decoded)


def _check_escapes(path: str) -> None:
    for at, character in enumerate(path):
        escape = path[at + 1 : at + 3]
        if character == "%" and (len(escape) < 2 or not _HEX.issuperset(escape)):
            raise BadTarget("the path holds a malformed percent-encoding", fix=AS_SHOWN)


def _check_segments(decoded: bytes) -> None:
    if b"\\" in decoded or any(byte < 0x20 or byte == 0x7F for byte in decoded):
        raise BadTarget("the path holds an encoded backslash or control character", fix=AS_SHOWN)
    for segment in decoded.split(b"/"):
        if segment.partition(b";")[0] in (b".", b".."):
            raise BadTarget("the path holds a dot segment", fix=AS_SHOWN)
