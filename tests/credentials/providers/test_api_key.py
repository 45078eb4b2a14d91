"""One key or several: a rejected key gives way to the next."""

from __future__ import annotations

import pytest
from flows import play, play_to_error
from pydantic import ValidationError

from proxy.credentials.providers import ApiKey
from proxy.credentials.secret import Secret
from proxy.credentials.token import Token
from proxy.errors import CredentialExhausted

ONE = ApiKey(type="api_key", keys=(Secret("one"),))
TWO = ApiKey(type="api_key", keys=(Secret("primary"), Secret("secondary")))


def key(provider: ApiKey, previous: str | None = None) -> str:
    token, requests = play(provider.acquire(None if previous is None else Token(Secret(previous))))
    assert requests == []
    assert token == Token(token.value), "a key has no expiry and nothing to renew with"
    return token.value.reveal()


def test_the_first_key_comes_first() -> None:
    assert key(ONE) == "one"
    assert key(TWO) == "primary"


def test_surprise_7_a_rejected_primary_key_gives_way_to_the_secondary_and_back() -> None:
    assert key(TWO, "primary") == "secondary"
    assert key(TWO, "secondary") == "primary"


def test_a_key_that_is_configured_no_more_gives_way_to_the_first() -> None:
    assert key(TWO, "old") == "primary"
    assert key(ONE, "old") == "one"


def test_a_single_key_that_is_rejected_has_no_successor() -> None:
    play_to_error(ONE.acquire(Token(Secret("one"))), CredentialExhausted)


def test_keys_may_be_written_as_one_text_or_as_a_list() -> None:
    assert ApiKey.model_validate({"type": "api_key", "keys": "one"}) == ONE
    assert ApiKey.model_validate({"type": "api_key", "keys": ["primary", "secondary"]}) == TWO


@pytest.mark.parametrize("keys", [[], "", [""], None, 7, ["canary", 7], {"a": "canary"}])
def test_keys_that_are_no_texts_are_refused_without_being_shown(keys: object) -> None:
    with pytest.raises(ValidationError) as caught:
        ApiKey.model_validate({"type": "api_key", "keys": keys})
    assert "canary" not in str(caught.value)


def test_keys_are_neither_printed_nor_stored() -> None:
    assert "primary" not in f"{TWO!r} {TWO.model_dump()} {TWO.model_dump_json()}"
    assert ApiKey.kept is False
    assert TWO.endpoints() == ()
