"""What is wrong with a configuration, where it stands, and how it is printed.

Values are never printed: any of them may be a secret. Of keys those are that look like names; a
secret may have been pasted in the place of one.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

KeyPath = tuple[str | int, ...]

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,30}")  # most API keys have 32 characters or more


class Position(NamedTuple):
    """A place in the file, both counted from 1 as editors do."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong at `path`.

    `meant` is the place that an unknown key was probably meant for. A `tentative` one may be gone
    once another one is mended: something is not there, or is not known.
    """

    path: KeyPath
    text: str
    position: Position | None = None
    meant: KeyPath | None = None
    tentative: bool = False


def written(path: KeyPath) -> str:
    """Return the path as people write it: `upstreams.portal.provider.keys[0]`.

    A key that does not look like a name is shown as `<key>`; line and column tell where it is.
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." + (part if _PLAIN_KEY.fullmatch(part) else "<key>")
    return text.removeprefix(".")


def lies_below(path: KeyPath, places: Container[KeyPath]) -> bool:
    """Return whether `path` is one of `places` or lies below one."""
    return any(path[:end] in places for end in range(1, len(path) + 1))


def certain(issues: Iterable[Issue]) -> list[Issue]:
    """Return the issues without those that may be gone once another one is mended.

    A key that is misspelt is not missing too, nor is what stands below it.
    """
    issues = list(issues)
    unsettled = [place for place in map(_unsettled, issues) if place is not None]
    return [one for one in issues if not (one.tentative and _touches(one.path, unsettled))]


def _unsettled(issue: Issue) -> KeyPath | None:
    """Return the place that will have more in it when `issue` is mended."""
    place = issue.meant or issue.path
    if len(place) == 3 and (place[0], place[2]) == ("upstreams", "preset"):
        return place[:2]  # the preset fills in all that is not written
    return issue.meant


def _touches(path: KeyPath, places: Iterable[KeyPath]) -> bool:
    """Return whether `path` is one of `places`, lies below one, or above one."""
    return any(path[: len(place)] == place[: len(path)] for place in places)


def lines(
    issues: Iterable[Issue],
    file: Path,
    positions: Mapping[KeyPath, Position],
    origins: Mapping[KeyPath, str],
) -> list[str]:
    """Return `file:line:col: path: what is wrong` of what is certain, in the order of the file.

    `origins` names the option or variable that a value came from, where it is not from the file.
    """
    told = certain(issues)
    placed = [(_origin(issue, origins), _position(issue, positions), issue) for issue in told]
    placed.sort(key=lambda entry: (entry[0] is not None, entry[1]))
    return [_line(origin, file, position, issue) for origin, position, issue in placed]


def _line(origin: str | None, file: Path, position: Position, issue: Issue) -> str:
    text = CONTROL.sub(" ", issue.text)  # `${VAR:?message}` and paths are the user's own words
    if origin is not None:
        return f"{origin}: {text}"
    place = f"{file}:{position.line}:{position.column}: "
    return place + (f"{written(issue.path)}: " if issue.path else "") + text


def _origin(issue: Issue, origins: Mapping[KeyPath, str]) -> str | None:
    return next((name for path, name in origins.items() if lies_below(issue.path, (path,))), None)


def _position(issue: Issue, positions: Mapping[KeyPath, Position]) -> Position:
    """Return where the issue stands, else where its nearest known parent does."""
    if issue.position is not None:
        return issue.position
    for end in range(len(issue.path), 0, -1):
        if issue.path[:end] in positions:
            return positions[issue.path[:end]]
    return Position(1, 1)
