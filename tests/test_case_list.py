"""The list of hostile and faulty cases, the tests that claim them, and their count."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from case_list import CASES, SIZES
from case_summary import summary

TESTS = Path(__file__).parent
FILES = [path for folder in ("hostile", "faults") for path in (TESTS / folder).rglob("test_*.py")]


def claimed(files: Iterable[Path] = FILES) -> Iterator[str]:
    """Every id that stands in a mark of a test in `files`."""
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.case":
                yield from (ast.literal_eval(argument) for argument in node.args)


def test_the_list_has_as_many_cases_as_it_says() -> None:
    assert Counter(case[0] for case in CASES) == SIZES
    assert len(CASES) == 191


def test_every_case_is_claimed_by_a_test() -> None:
    assert sorted(CASES.keys() - set(claimed())) == []


def test_no_test_claims_a_case_that_is_not_in_the_list() -> None:
    assert sorted(set(claimed()) - CASES.keys()) == []


def test_no_test_outside_of_the_folders_of_cases_claims_one() -> None:
    """Whoever runs these folders alone would miss it."""
    elsewhere = set(TESTS.rglob("test_*.py")) - {*FILES}
    assert [path.name for path in elsewhere if [*claimed([path])]] == []


def test_a_mark_is_never_given_a_shorter_name() -> None:
    """One would hide it from all of the above."""
    aliases = [path.name for path in FILES if re.search(r"mark\.case\b(?!\()", path.read_text())]
    assert aliases == []


def test_the_summary_counts_a_case_whose_tests_all_passed() -> None:
    line, _ = summary([("passed", [case]) for case in CASES])
    assert line.startswith("B 25 of 25, P 18 of 18, ")
    assert line.endswith("; 191 of 191 cases, all passed")


def test_the_summary_counts_the_tests_of_a_group_once_each() -> None:
    reports = [("passed", ["B01", "B02"]), ("passed", ["B01"]), ("skipped", ["B02", "P01"])]
    _, line = summary([*reports, ("passed", [])])
    assert line.startswith("tests: B 3, P 1, F 0, ")


def test_the_summary_names_a_case_of_which_one_test_did_not_pass() -> None:
    reports = [("passed", ["B01", "B02"]), ("skipped", ["B02"]), ("failed", ["P01"])]
    line, _ = summary(reports)
    assert line.startswith("B 1 of 25, P 0 of 18, ")
    assert line.endswith("; 1 of 191 cases, not passed: B02, P01")
