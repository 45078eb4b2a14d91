"""Raw request target -> which upstream and what rest of the path, or refusal. Pure.

Works on the raw text only: every URL library decodes or collapses something (measured: yarl turns
`/base/%2e%2e/admin` into `/admin`), and what is checked must be what is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from proxy.refusals import BadTarget, TargetTooLong

TARGET_LIMIT = 16 * 1024  # characters; J-Quants' refresh token alone takes 2 kB
AS_SHOWN = "send the path as the API shows it, without dot segments and encoded slashes"
INSPECTIONS = 3  # rounds of decoding: one round let `%252e%252e` through in several proxies
_IN_NO_TARGET = re.compile(r"[^!-~]|[#\\]")
_SUSPECT = re.compile(r"[%.\\\x00-\x1f\x7f]")  # a path without these has one reading only
_MALFORMED_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_IN_NO_SEGMENT = re.compile(rb"[\x00-\x1f\x7f\\]")
_DOT_SEGMENT = re.compile(rb"(?<![^/])\.\.?(?![^/;])")  # parameters do not change it (Tomcat)


@dataclass(frozen=True, slots=True)
class Target:
    """A target: `path` is raw and empty or begins with `/`, `query` is raw without `?`."""

    path: str
    query: str


def parse(raw: str) -> Target:
    """Return the target of an origin-form request (RFC 9112 3.2.1), its path not yet checked.

    Raises `TargetTooLong`, and `BadTarget` for any other form and for characters that no URI holds.
    """
    if len(raw) > TARGET_LIMIT:
        raise TargetTooLong(
            f"the target is longer than {TARGET_LIMIT} characters",
            fix="send what is long as content, if the API takes it there",
        )
    if not raw.startswith("/"):
        raise BadTarget("the request target must be a path such as /NAME/rest", fix=AS_SHOWN)
    if _IN_NO_TARGET.search(raw):
        raise BadTarget("the target holds characters that must be percent-encoded", fix=AS_SHOWN)
    path, _, query = raw.partition("?")
    return Target(path, query)


def split_prefix(target: Target) -> tuple[str, Target]:
    """Split `/NAME/rest` into the name, compared as raw text, and the rest."""
    name, slash, rest = target.path[1:].partition("/")
    return name, Target(slash + rest, target.query)


def check_path(path: str, encoded_slashes: Literal["refuse", "pass"] = "refuse") -> None:
    """Raise `BadTarget` for dot segments and separators in disguise, however often encoded.

    With `pass`, an encoded slash may stand in the path, and counts as a separator when dot segments
    are looked for: nobody knows how the upstream reads it.
    """
    if not _SUSPECT.search(path):
        return
    if _MALFORMED_ESCAPE.search(path):
        raise BadTarget("the path holds a malformed percent-encoding", fix=AS_SHOWN)
    decoded = path.encode()
    for _ in range(INSPECTIONS):
        _check_segments(decoded)
        again = unquote_to_bytes(decoded)
        if again == decoded:
            return
        if encoded_slashes == "refuse" and again.count(b"/") != decoded.count(b"/"):
            raise BadTarget(
                "the path holds an encoded slash",
                fix="send it unencoded, or set encoded_slashes: pass in upstreams.{upstream}",
            )
        decoded = again
    _check_segments(decoded)
    if unquote_to_bytes(decoded) != decoded:
        raise BadTarget("the path is encoded too many times over", fix=AS_SHOWN)


def _check_segments(decoded: bytes) -> None:
    if _IN_NO_SEGMENT.search(decoded):
        raise BadTarget("the path holds an encoded backslash or control character", fix=AS_SHOWN)
    if _DOT_SEGMENT.search(decoded):
        raise BadTarget("the path holds a dot segment", fix=AS_SHOWN)
