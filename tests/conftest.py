"""Fixtures that every test may ask for, and what pytest does for every test."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from canaries import leaks
from case_summary import summary
from clocks import Clock
from command_line import Home
from hypothesis import HealthCheck, settings

CASE = "case"
logging.getLogger("websockets").setLevel(logging.INFO)  # plays the upstream, and tells what it got

EXAMPLES = {"default": 200, "ci": 10_000, "full": 100_000}  # of a property; SIDEKEY_TESTS chooses

for name, examples in EXAMPLES.items():
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        derandomize=False,
        suppress_health_check=[HealthCheck.too_slow],
    )
chosen = os.environ.get("SIDEKEY_TESTS")
settings.load_profile(chosen if chosen in EXAMPLES else "default")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def many_sockets() -> Iterator[None]:
    """Allow this process as many open files as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home folder of its own for commands."""
    return Home(tmp_path)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep the ids of the hostile cases that a test claims where its reports show them."""
    item.user_properties += [(CASE, id_) for mark in item.iter_markers(CASE) for id_ in mark.args]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """Fail a test whose output or log, at debug level, holds a made-up secret."""
    report = yield
    leaking = leaks(part for part in report.sections if part[0].endswith(report.when))
    if report.passed and leaking:
        report.outcome = "failed"
        report.longrepr = f"a secret stands in: {', '.join(leaking)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the hostile cases by group, if any ran."""
    reports = [
        (outcome, [value for key, value in report.user_properties if key == CASE])
        for outcome in ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
        for report in terminalreporter.getreports(outcome)
        if isinstance(report, pytest.TestReport)
    ]
    if any(ids for _, ids in reports):
        terminalreporter.section("hostile and faulty cases")
        for line in summary(reports):
            terminalreporter.write_line(line)
