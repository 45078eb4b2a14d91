"""Counts cases of `case_list` and their tests by group, for the end of pytest's output."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from case_list import CASES, SIZES

Report = tuple[str, Sequence[str]]  # what pytest said of one test, and the ids that it claims


def outcomes(reports: Sequence[Report]) -> dict[str, set[str]]:
    """Return by id what pytest said of the tests that claim it."""
    found: dict[str, set[str]] = defaultdict(set)
    for outcome, ids in reports:
        for case in ids:
            found[case].add(outcome)
    return found


def summary(reports: Sequence[Report]) -> tuple[str, str]:
    """Return a line that counts cases, and which did not pass, and a line that counts tests.

    A case has passed if there is a test of it, and every one ran and passed: none was skipped.
    """
    found = outcomes(reports)
    passed = [case for case in CASES if found.get(case) == {"passed"}]
    counts = Counter(case[0] for case in passed)
    by_group = ", ".join(f"{group} {counts[group]} of {size}" for group, size in SIZES.items())
    bad = [case for case in CASES if case in found and case not in passed]
    verdict = f"not passed: {', '.join(bad)}" if bad else "all passed"
    tests = Counter(group for _, ids in reports for group in {case[0] for case in ids})
    return (
        f"{by_group}; {len(passed)} of {len(CASES)} cases, {verdict}",
        f"tests: {', '.join(f'{group} {tests[group]}' for group in SIZES)}",
    )
