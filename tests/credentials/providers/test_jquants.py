"""J-Quants v1: a ladder of two tokens whose every failure is status 400."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from flows import answer, at, play, play_to_error
from pydantic import ValidationError

from proxy.credentials.providers import JQuants
from proxy.credentials.secret import Secret
from proxy.credentials.token import Token, TokenRequest
from proxy.errors import AnswerUnusable, GrantRejected, LoginRequired, TokenEndpointUnreachable

BASE = "https://api.jquants.com/v1"
PASSWORD = {"mailaddress": "me@example.com", "password": 'canary-"pässwörd"'}
ID = answer({"idToken": "id-2"})
REFRESH = answer({"refreshToken": "refresh-2"})
DEAD = answer({"message": "'refreshtoken' is required."}, 400)
WRONG = answer({"message": "'mailaddress' or 'password' is incorrect."}, 400)
PREVIOUS = Token(
    Secret("id-1"),
    expires_at=at(hours=-1),
    refresh_token=Secret("refresh-1"),
    refresh_expires_at=at(days=3),
)


def jquants(**fields: Any) -> JQuants:
    return JQuants.model_validate({"type": "jquants", **fields}).at(BASE)


BOTH = jquants(**PASSWORD, refresh_token="pasted")
BY_PASSWORD = jquants(**PASSWORD)
PASTED = jquants(refresh_token="pasted")


def steps(requests: list[TokenRequest]) -> list[str]:
    return [request.url.removeprefix(f"{BASE}/token/") for request in requests]


def test_mail_and_password_buy_a_refresh_token_which_buys_an_id_token() -> None:
    token, (sign_in, renew) = play(BY_PASSWORD.acquire(None), REFRESH, ID)
    assert (sign_in.method, sign_in.url) == ("POST", f"{BASE}/token/auth_user")
    assert sign_in.headers == {"Content-Type": "application/json"}
    assert json.loads(sign_in.content) == PASSWORD
    assert renew == TokenRequest("POST", f"{BASE}/token/auth_refresh?refreshtoken=refresh-2")
    assert token.value == Secret("id-2")
    assert token.refresh_token == Secret("refresh-2")


def test_surprise_1_answers_without_expiry_get_the_official_clients_margins() -> None:
    token, _ = play(BY_PASSWORD.acquire(None), REFRESH, ID)
    assert (token.expires_at, token.refresh_expires_at) == (at(hours=23), at(days=6))


def test_lifetimes_can_be_configured() -> None:
    provider = jquants(**PASSWORD, id_token_lifetime="30m", refresh_token_lifetime="2d")
    token, _ = play(provider.acquire(None), REFRESH, ID)
    assert (token.expires_at, token.refresh_expires_at) == (at(minutes=30), at(days=2))


def test_a_known_refresh_token_is_used_and_kept_with_its_end() -> None:
    """J-Quants never rotates it, so its end does not move."""
    token, requests = play(BOTH.acquire(PREVIOUS), ID)
    assert steps(requests) == ["auth_refresh?refreshtoken=refresh-1"]
    assert token == Token(
        Secret("id-2"), at(hours=23), Secret("refresh-1"), at(days=3), assumed=True
    )


def test_a_pasted_refresh_token_needs_no_password() -> None:
    token, requests = play(PASTED.acquire(None), ID)
    assert steps(requests) == ["auth_refresh?refreshtoken=pasted"]
    assert (token.refresh_token, token.refresh_expires_at) == (Secret("pasted"), None)


def test_surprise_2_a_refresh_token_that_died_is_400_and_leads_to_a_sign_in() -> None:
    token, requests = play(BY_PASSWORD.acquire(PREVIOUS), DEAD, REFRESH, ID)
    assert steps(requests) == [
        "auth_refresh?refreshtoken=refresh-1",
        "auth_user",
        "auth_refresh?refreshtoken=refresh-2",
    ]
    assert token.refresh_token == Secret("refresh-2")


def test_surprise_2_the_ladder_is_known_then_pasted_then_password() -> None:
    _, requests = play(BOTH.acquire(PREVIOUS), DEAD, DEAD, REFRESH, ID)
    assert steps(requests) == [
        "auth_refresh?refreshtoken=refresh-1",
        "auth_refresh?refreshtoken=pasted",
        "auth_user",
        "auth_refresh?refreshtoken=refresh-2",
    ]


def test_a_dead_refresh_token_gives_way_to_a_pasted_one() -> None:
    token, requests = play(PASTED.acquire(PREVIOUS), DEAD, ID)
    assert steps(requests)[-1] == "auth_refresh?refreshtoken=pasted"
    assert token.refresh_token == Secret("pasted")


def test_surprise_2_without_a_password_the_error_says_what_to_paste_where() -> None:
    error, requests = play_to_error(PASTED.acquire(None), LoginRequired, DEAD)
    error.upstream = "jquants"
    assert len(requests) == 1
    assert "https://jpx-jquants.com/dashboard/menu/" in str(error.fix)
    assert "upstreams.jquants.provider.refresh_token" in str(error.fix)
    assert "pasted" not in f"{error} {error.fix}"


def test_a_pasted_refresh_token_that_is_in_use_already_is_tried_once() -> None:
    previous = Token(Secret("id-1"), refresh_token=Secret("pasted"))
    _, requests = play_to_error(PASTED.acquire(previous), LoginRequired, DEAD)
    assert len(requests) == 1


def test_a_previous_token_whose_refresh_token_ran_out_leads_to_a_sign_in() -> None:
    _, requests = play(BY_PASSWORD.acquire(Token(Secret("id-1"))), REFRESH, ID)
    assert steps(requests)[0] == "auth_user"


def test_a_wrong_password_is_asked_about_once() -> None:
    error, requests = play_to_error(BY_PASSWORD.acquire(None), GrantRejected, WRONG)
    assert steps(requests) == ["auth_user"]
    assert error.detail.endswith("400: 'mailaddress' or 'password' is incorrect.")
    assert "canary" not in f"{error} {error.fix}"


def test_a_fresh_refresh_token_that_is_refused_ends_the_flow() -> None:
    _, requests = play_to_error(BY_PASSWORD.acquire(None), GrantRejected, REFRESH, DEAD)
    assert len(requests) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_no_reason_to_sign_in(status: int) -> None:
    """Whoever takes that for a dead refresh token sends the password at every outage."""
    trouble = answer({"message": "Unexpected error. Please try again later."}, status)
    play_to_error(BOTH.acquire(PREVIOUS), TokenEndpointUnreachable, trouble)
    play_to_error(BOTH.acquire(PREVIOUS), TokenEndpointUnreachable, DEAD, DEAD, trouble)


@pytest.mark.parametrize("content", [{}, {"idToken": None}, {"idToken": "a\nb"}])
def test_an_answer_without_id_token_is_no_reason_to_sign_in(content: Any) -> None:
    play_to_error(BOTH.acquire(PREVIOUS), AnswerUnusable, answer(content))


@pytest.mark.parametrize("content", [[], b"<html>"])
def test_an_answer_that_is_no_object_is_no_reason_to_sign_in(content: Any) -> None:
    play_to_error(BOTH.acquire(PREVIOUS), TokenEndpointUnreachable, answer(content))


def test_surprise_3_the_refresh_token_travels_in_the_query_of_an_empty_post_unseen() -> None:
    previous = Token(Secret("id"), refresh_token=Secret("a.b+/=&canary"))
    _, (request,) = play(BY_PASSWORD.acquire(previous), ID)
    assert request.url.endswith("?refreshtoken=a.b%2B%2F%3D%26canary")
    assert (request.content, request.headers) == (b"", {})
    assert repr(request) == f"TokenRequest(POST {BASE}/token/auth_refresh)"


def test_the_token_endpoints_are_named_so_that_no_route_reaches_them() -> None:
    expected = (f"{BASE}/token/auth_user", f"{BASE}/token/auth_refresh")
    assert BY_PASSWORD.endpoints() == expected
    other = jquants(**PASSWORD, base_url="https://other.example.com/v1/")
    assert other.endpoints()[0] == "https://other.example.com/v1/token/auth_user"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"mailaddress": "canary"},
        {"password": "canary", "refresh_token": "canary"},
        {"refresh_token": ""},
        {**PASSWORD, "id_token_lifetime": 5},
        {**PASSWORD, "user": "canary"},
    ],
)
def test_half_a_credential_is_refused_without_being_shown(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        jquants(**fields)
    assert "canary" not in str(caught.value)


def test_the_provider_does_not_print_its_secrets() -> None:
    assert "canary" not in f"{BOTH!r} {BOTH.model_dump()}"
    assert "pasted" not in f"{BOTH!r} {BOTH.model_dump()}"
    assert BOTH.id_token_lifetime == timedelta(hours=23)
