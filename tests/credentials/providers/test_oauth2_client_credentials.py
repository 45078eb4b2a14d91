"""OAuth 2.0 client credentials, as RFC 6749 sections 2.3.1 and 4.4 have them.

What the endpoint may answer is in test_answers.py.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import pytest
from flows import answer, at, play
from pydantic import ValidationError

from proxy.credentials.providers import OAuth2ClientCredentials
from proxy.credentials.secret import Secret
from proxy.credentials.token import Token, TokenRequest

URL = "https://auth.example.com/oauth2/token?tenant=1"
GRANTED = answer({"access_token": "t", "token_type": "bearer", "expires_in": 1799})
ODD = "p:ä s+%&=/~*-._ü"


def provider(**fields: Any) -> OAuth2ClientCredentials:
    known = {"token_url": URL, "client_id": "me", "client_secret": "secret"}
    return OAuth2ClientCredentials.model_validate(
        {"type": "oauth2_client_credentials", **known, **fields}
    )


def asked(**fields: Any) -> TokenRequest:
    return play(provider(**fields).acquire(None), GRANTED)[1][0]


def form(request: TokenRequest) -> dict[str, str]:
    return dict(parse_qsl(request.content.decode(), strict_parsing=True))


def basic_pair(request: TokenRequest) -> list[str]:
    scheme, _, encoded = request.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(encoded, validate=True).decode("ascii").split(":")


def test_by_default_the_client_authenticates_with_basic_and_posts_a_form() -> None:
    assert asked() == TokenRequest(
        "POST",
        URL,
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "Authorization": "Basic bWU6c2VjcmV0",
        },
        b"grant_type=client_credentials",
    )


def test_basic_credentials_are_form_encoded_first() -> None:
    """RFC 6749 2.3.1: without that, a colon in the id would move the border."""
    pair = basic_pair(asked(client_id=ODD, client_secret=ODD))
    assert pair == ["p%3A%C3%A4+s%2B%25%26%3D%2F~%2A-._%C3%BC"] * 2
    assert [unquote_plus(part) for part in pair] == [ODD, ODD]


def test_with_client_secret_post_id_and_secret_stand_in_the_form_alone() -> None:
    request = asked(client_auth="client_secret_post", client_secret=ODD)
    assert "Authorization" not in request.headers
    assert form(request) == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": ODD,
    }


def test_scope_audience_resource_and_extra_parameters_are_sent_when_given() -> None:
    request = asked(
        scope="read write",
        audience="https://api.example.com/",
        resource="urn:r",
        extra_params={"tenant": "a&b"},
    )
    assert form(request) == {
        "grant_type": "client_credentials",
        "scope": "read write",
        "audience": "https://api.example.com/",
        "resource": "urn:r",
        "tenant": "a&b",
    }


def test_extra_parameters_never_replace_id_and_secret() -> None:
    request = asked(client_auth="client_secret_post", extra_params={"client_secret": "other"})
    assert form(request)["client_secret"] == "secret"


def test_the_token_has_the_stated_life_and_nothing_to_renew_with() -> None:
    token, _ = play(provider().acquire(None), GRANTED)
    assert token == Token(Secret("t"), expires_at=at(seconds=1799))


def test_without_a_stated_life_it_is_an_hour() -> None:
    """Surprise 1."""
    token, _ = play(provider().acquire(None), answer({"access_token": "t"}))
    assert token.expires_at == at(hours=1)


def test_a_previous_token_changes_nothing() -> None:
    """RFC 6749 4.4.3: this grant has no refresh token."""
    previous = Token(Secret("old"), refresh_token=Secret("canary"))
    _, requests = play(provider().acquire(previous), GRANTED)
    assert requests == [asked()]


def test_the_token_endpoint_is_named_so_that_no_route_reaches_it() -> None:
    assert provider().endpoints() == (URL,)


@pytest.mark.parametrize(
    "fields",
    [
        {"client_secret": ""},
        {"client_id": ""},
        {"client_auth": "canary"},
        {"token_url": "/token"},
        {"token_url": "https://u:canary@h/t"},
        {"default_lifetime": "canary"},
        {"canary": 1},
    ],
)
def test_fields_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        provider(**fields)
    assert "canary@" not in str(caught.value)


def test_the_provider_does_not_print_its_secrets() -> None:
    shown = provider(client_secret="canary", extra_params={"code": "canary"})
    assert "canary" not in repr(shown)
