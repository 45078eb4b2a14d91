"""Counts cases of `case_list` by group, for the end of pytest's output."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from case_list import CASES, SIZES

Outcomes = Mapping[str, set[str]]  # by id, what pytest said of the tests that claim it


def outcomes(reports: Iterable[tuple[str, Iterable[str]]]) -> Outcomes:
    """Return the outcomes by id, of pairs of one outcome and the ids that a test claims."""
    found: dict[str, set[str]] = defaultdict(set)
    for outcome, ids in reports:
        for case in ids:
            found[case].add(outcome)
    return found


def passed(found: Outcomes, case: str) -> bool:
    """Tell whether every test of `case` ran and passed, and there was one."""
    return found.get(case) == {"passed"}


def summary(found: Outcomes) -> str:
    """Return the line that tells the count by group, and which cases did not pass."""
    counts = {
        group: sum(passed(found, case) for case in CASES if case.startswith(group))
        for group in SIZES
    }
    by_group = ", ".join(f"{group} {counts[group]} of {size}" for group, size in SIZES.items())
    bad = [case for case in CASES if case in found and not passed(found, case)]
    verdict = f"not passed: {', '.join(bad)}" if bad else "all passed"
    return f"{by_group}; {sum(counts.values())} of {len(CASES)} cases, {verdict}"
