"""How paths are matched by rules: `*` and `**` in globs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator

_ANY_TEXT = re.compile(r"\*\*+")


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
    return any(_compiled(glob).match(path) for glob in globs)


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    """Return an expression that takes each piece of text where it first fits, for good: `(?>`.

    No other place would leave more room for what follows, since `*` keeps to its segment. Trying
    them all would take a power of the path's length that grows with every star.
    """
    stem = glob.removesuffix("/**")
    end = r"\Z" if stem == glob else r"(?:/.*)?\Z"
    first, *others = _ANY_TEXT.split(stem)
    runs = [first, *(f"*{run}" for run in others)]  # `**` is any segments, and then a `*`
    patterns = [*map(_run, runs[:-1]), _run(runs[-1], end)]
    return re.compile(_each_at_once("(?:[^/]*/)*?", patterns), re.DOTALL)


def _run(run: str, end: str = "") -> str:
    """Return the pattern of a glob without `**`, followed by `end`."""
    *pieces, last = map(re.escape, run.split("*"))
    return _each_at_once("[^/]*?", [*pieces, last + end])


def _each_at_once(gap: str, patterns: Sequence[str]) -> str:
    """Return `patterns` with a `gap` before each but the first; no place is tried again."""
    first, *others = patterns
    return first + "".join(f"(?>{gap}{pattern})" for pattern in others)
