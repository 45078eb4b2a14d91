"""The sweep over the output of every test can fail."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from canaries import LENGTH, canary, holds_canary, leaks

pytest_plugins = ["pytester"]


def test_a_made_up_secret_is_found_in_every_spelling() -> None:
    secret = canary("slot")
    assert len(secret) == LENGTH
    assert holds_canary(f"x{secret}")
    assert holds_canary(secret.replace("-", "%2D"))
    assert holds_canary(secret.replace("-", r"\u002d"))
    for beginning in ("", "a", "ab", "client-id:"):
        assert holds_canary(base64.b64encode(f"{beginning}{secret}".encode()))


def test_a_leak_names_its_section() -> None:
    sections = [("Captured log call", canary("slot")), ("Captured stdout call", "canary in a mine")]
    assert leaks(sections) == ["Captured log call"]


LEAKY = """
import logging, sys

def test_out(): print("canary-key")
def test_err(): print("canary-key", file=sys.stderr)
def test_log(): logging.getLogger("aiohttp").debug("canary-key")
def test_quiet(): print("a key")
"""


@pytest.mark.case("K01")
def test_a_test_that_passes_and_leaks_has_failed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = Path(__file__).parent.parent
    monkeypatch.setenv("PYTHONPATH", str(tests))
    pytester.makeconftest((tests / "conftest.py").read_text())
    pytester.makepyfile(LEAKY)
    quiet = ("--log-level=DEBUG", "--show-capture=no", "--tb=no", "-rN")
    pytester.runpytest_subprocess("-p", "no:asyncio", *quiet).assert_outcomes(failed=3, passed=1)
