"""How each upstream is, in the words of `sidekey status`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TextIO

from proxy.cli.moments import from_now
from proxy.cli.table import NOTHING, Row, blocks, columns_of, fitted, folded, table
from proxy.clock import utc_now
from proxy.credentials.attempts import LIMIT
from proxy.observe.status import SERVING

COLUMNS = ("upstream", "state", "generation", "expires_at", "next_renewal", "user")
NOTES = ("error", "fix", "attempts_left", "next_attempt", "stored")  # have no column
TIMES = ("expires_at", "next_renewal")
Facts = dict[str, str]


def status_text(upstreams: Sequence[dict[str, Any]], stream: TextIO | None) -> str:
    """Return a table of `upstreams`, the members of `/_sidekey/status`, and notes below it.

    If `stream` leads to a terminal, in lines that fit: with short times, without columns that would
    be empty, or as blocks, which hold the notes too.
    """
    columns = columns_of(stream)
    facts = [_facts(upstream, str if columns is None else _short) for upstream in upstreams]
    if columns is None:
        notes = (f"{name}: {note}" for name, note in _notes(facts))
        return "\n".join([table(_rows(facts, COLUMNS), None, _heads(COLUMNS)), *notes])
    names = _told(facts, COLUMNS)
    lines = fitted(_rows(facts, names), _heads(names), columns)
    if lines is None:
        names = _told(facts, COLUMNS + NOTES)
        return blocks(_rows(facts, names), _heads(names), columns)
    below = [folded(note, f"{name}: ", columns) for name, note in _notes(facts)]
    return "\n".join([lines, "", *below] if below else [lines])


def _facts(upstream: dict[str, Any], written: Callable[[str], str]) -> Facts:
    """Return the members that have something to tell, their times as `written`."""
    facts = {
        name: written(value) if name in TIMES else str(value)
        for name, value in upstream.items()
        if value != ""
    }
    if upstream["state"] not in SERVING and "next_renewal" in facts:
        facts["next_attempt"] = facts.pop("next_renewal")  # there is nothing to renew
    if upstream.get("attempts_left") == LIMIT:
        del facts["attempts_left"]
    if upstream.get("stored") is False:
        facts["stored"] = "in memory only, since the store failed"
    return facts


def _short(time: str) -> str:
    return from_now(datetime.fromisoformat(time), utc_now())


def _told(facts: Sequence[Facts], names: Sequence[str]) -> list[str]:
    """Return those of `names` that at least one upstream has."""
    return [name for name in names if any(name in one for one in facts)]


def _rows(facts: Sequence[Facts], names: Sequence[str]) -> list[Row]:
    return [tuple(one.get(name, NOTHING) for name in names) for one in facts]


def _heads(names: Sequence[str]) -> Row:
    return tuple(name.replace("_", " ") for name in names)


def _notes(facts: Sequence[Facts]) -> Iterator[tuple[str, str]]:
    """Yield the upstream, and what has no place in the table."""
    for one in facts:
        name = one["upstream"]
        if "error" in one:
            yield name, one["error"] + (f" ({one['fix']})" if "fix" in one else "")
        if "attempts_left" in one:
            yield name, f"attempts left this hour: {one['attempts_left']}"
        if "next_attempt" in one:
            yield name, f"next attempt: {one['next_attempt']}"
        if "stored" in one:
            yield name, f"the token lives {one['stored']}"
