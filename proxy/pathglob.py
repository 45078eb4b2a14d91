"""How paths are matched by rules: `*` and `**` in globs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator

_WILDCARD = re.compile(r"(\*\*+|\*)")


def check_glob(glob: str) -> str:
    """Return `glob`, or raise `ValueError`: it would never match, whatever the request."""
    if not glob.startswith(("/", "**")):
        raise ValueError("a path glob begins with / or **")
    if any(c in "?#" or not c.isprintable() for c in glob):
        raise ValueError("a path glob holds no query, fragment or control characters")
    return glob


PathGlob = Annotated[str, AfterValidator(check_glob)]


def matches(path: str, globs: Iterable[str]) -> bool:
    """Tell whether one of `globs` matches the whole of the raw `path`, case-sensitively.

    `*` is any text within a segment, `**` any text at all, and `/a/**` is `/a` too. The path is
    percent-decoded once before it is compared, so that `%74oken` does not dodge a rule for `token`;
    globs are written decoded.
    """
    return matches_decoded(unquote(path), globs)


def matches_decoded(path: str, globs: Iterable[str]) -> bool:
    """Tell the same of a path that has been decoded already."""
    return any(_compiled(glob).fullmatch(path) for glob in globs)


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    stem = glob.removesuffix("/**")
    rest = "(?:/.*)?" if stem != glob else ""
    return re.compile("".join(map(_pattern, _WILDCARD.split(stem))) + rest, re.DOTALL)


def _pattern(piece: str) -> str:
    if piece.startswith("**"):
        return ".*"
    return "[^/]*" if piece == "*" else re.escape(piece)
