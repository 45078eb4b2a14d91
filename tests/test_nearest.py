"""Which known name was meant."""

from __future__ import annotations

import pytest

from proxy.nearest import did_you_mean, nearest

KNOWN = ("base_url", "port", "preset", "provider")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("presett", "preset"),
        ("provder", "provider"),
        ("baseUrl", "base_url"),
        ("port", "port"),
        ("xyz", None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_the_name_that_is_most_like_a_known_one_was_meant(name: object, meant: str | None) -> None:
    assert nearest(name, KNOWN) == meant


def test_nothing_is_meant_where_nothing_is_known() -> None:
    assert nearest("port", ()) is None


def test_two_names_that_are_equally_near_are_told_in_no_random_order() -> None:
    assert {nearest("kez", known) for known in (("key", "kex"), ("kex", "key"))} == {"key"}


def test_a_hint_names_what_was_meant_or_says_nothing() -> None:
    assert did_you_mean("prot", KNOWN) == " (did you mean 'port'?)"
    assert did_you_mean("xyz", KNOWN) == ""
