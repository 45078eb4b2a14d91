"""The list of hostile and faulty cases, the tests that claim them, and their count."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from case_list import CASES, SIZES
from case_summary import outcomes, summary

FOLDERS = ("hostile", "faults")


def claimed() -> Iterator[str]:
    """Every id that stands in a mark of a test in the folders of hostile and faulty cases."""
    tests = Path(__file__).parent
    for path in (path for folder in FOLDERS for path in (tests / folder).rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.case":
                yield from (ast.literal_eval(argument) for argument in node.args)


def test_the_list_has_as_many_cases_as_it_says() -> None:
    assert Counter(case[0] for case in CASES) == SIZES
    assert len(CASES) == 150


def test_every_case_is_claimed_by_a_test() -> None:
    assert sorted(CASES.keys() - set(claimed())) == []


def test_no_test_claims_a_case_that_is_not_in_the_list() -> None:
    assert sorted(set(claimed()) - CASES.keys()) == []


def test_the_summary_counts_a_case_whose_tests_all_passed() -> None:
    line = summary(outcomes([("passed", [case]) for case in CASES]))
    assert line.startswith("B 25 of 25, P 18 of 18, ")
    assert line.endswith("; 150 of 150 cases, all passed")


def test_the_summary_names_a_case_of_which_one_test_did_not_pass() -> None:
    line = summary(
        outcomes([("passed", ["B01", "B02"]), ("skipped", ["B02"]), ("failed", ["P01"])])
    )
    assert line.startswith("B 1 of 25, P 0 of 18, ")
    assert line.endswith("; 1 of 150 cases, not passed: B02, P01")
