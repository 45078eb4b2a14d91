"""What the rights of a Misskey token mean, for those who are asked for them."""

from __future__ import annotations

import pytest

from proxy.credentials.providers import MiAuth
from proxy.credentials.providers.misskey_permissions import meaning
from proxy.sandbox.misskey.permissions import PERMISSIONS


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_every_right_of_a_real_server_has_a_meaning(permission: str) -> None:
    assert meaning(permission)


@pytest.mark.parametrize("permission", ["", "read:", "read:nonsense", "notes", "erase:notes"])
def test_a_right_that_nobody_knows_has_none(permission: str) -> None:
    assert meaning(permission) == ""


def test_a_sign_in_says_what_it_will_ask_for_before_it_begins() -> None:
    provider = MiAuth(type="miauth", name="bot", permission=("write:notes", "x:y"))
    asked = provider.at("https://Misskey.example:443/api").consent()
    assert (asked.server, asked.application) == ("https://misskey.example", "bot")
    assert asked.permissions == {"write:notes": "post and delete notes", "x:y": ""}
