"""A token endpoint described in the configuration: the portal's legacy calls, kabu Station, others.

What the endpoint may answer in general is in test_answers.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from flows import answer, at, play, play_to_error
from pydantic import ValidationError

from proxy.credentials.providers import TokenEndpoint
from proxy.credentials.secret import Secret
from proxy.credentials.token import Token, TokenRequest
from proxy.errors import AnswerUnusable, GrantRejected, TokenEndpointUnreachable

URL = "https://api.example.com/auth/v1/tokens"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def endpoint(request: dict[str, Any] | None = None, **fields: Any) -> TokenEndpoint:
    shape = {"url": URL} if request is None else {"url": URL, **request}
    return TokenEndpoint.model_validate({"type": "token_endpoint", "request": shape, **fields})


def asked(request: dict[str, Any]) -> TokenRequest:
    provider = endpoint(request)
    return play(provider.acquire(None), answer({"access_token": "t"}))[1][0]


def token_of(content: Any, status: int = 200, **fields: Any) -> Token:
    return play(endpoint(**fields).acquire(None), answer(content, status))[0]


# What is asked


def test_without_more_it_is_an_empty_post() -> None:
    assert asked({}) == TokenRequest("POST", URL, {}, b"")


def test_json_content_keeps_its_types() -> None:
    fields = {"id": "ü", "n": 1, "list": [True, None, {"a": "b"}]}
    request = asked({"json": fields, "method": "PUT"})
    assert (request.method, request.headers) == ("PUT", JSON)
    assert json.loads(request.content) == fields


def test_form_fields_are_percent_encoded() -> None:
    request = asked({"form": {"id": "a&b", "secret": "ü ="}})
    assert request == TokenRequest("POST", URL, FORM, b"id=a%26b&secret=%C3%BC+%3D")


def test_query_parameters_are_added_to_those_of_the_url() -> None:
    assert asked({"query": {"a": "b c"}, "method": "GET"}).url == f"{URL}?a=b+c"
    assert asked({"url": f"{URL}?v=1", "query": {"a": "&"}}).url == f"{URL}?v=1&a=%26"


def test_basic_credentials_go_as_they_are() -> None:
    """RFC 7617, not RFC 6749: what is no OAuth is not form-encoded."""
    request = asked({"auth": {"basic": ["me", "p:w"]}})
    assert request.headers == {"Authorization": "Basic bWU6cDp3"}


def test_a_configured_field_wins_over_a_default_whatever_its_case() -> None:
    request = asked({"json": {}, "headers": {"content-type": "application/vnd.api+json"}})
    assert request.headers == {"content-type": "application/vnd.api+json"}
    request = asked({"auth": {"basic": ["me", "pw"]}, "headers": {"authorization": "none"}})
    assert request.headers == {"Authorization": "Basic bWU6cHc="}


def test_a_place_that_has_no_value_stays_as_it_is() -> None:
    """Passwords may hold braces."""
    request = asked({"json": {"password": "{token}{refresh_token}{x}{"}})
    assert json.loads(request.content) == {"password": "{token}{refresh_token}{x}{"}


# What comes out: surprise 4, every vendor has names of its own


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("access_token", {"access_token": "t"}),
        ("accessToken", {"accessToken": "t"}),
        ("Token", {"Token": "t"}),
        ("data.tokens.0.value", {"data": {"tokens": [{"value": "t"}]}}),
    ],
)
def test_surprise_4_the_token_may_stand_anywhere_in_the_answer(path: str, content: Any) -> None:
    assert token_of(content, response={"token": path}).value == Secret("t")


def test_surprise_4_the_accepted_statuses_can_be_set() -> None:
    content = {"access_token": "t"}
    assert token_of(content, 201).value == Secret("t")
    assert token_of(content, 202, success={"statuses": [202]}).value == Secret("t")
    only_200 = endpoint(success={"statuses": [200]}).acquire(None)
    play_to_error(only_200, GrantRejected, answer(content, 201))


def test_surprise_1_without_any_expiry_the_configured_lifetime_counts() -> None:
    assert token_of({"access_token": "t"}, lifetime="1h").expires_at == at(hours=1)
    assert token_of({"access_token": "t"}).expires_at is None


@pytest.mark.parametrize("value", [600, "600", 600.0])
def test_a_stated_lifetime_wins_over_the_configured_one(value: Any) -> None:
    shape = {"expires_in": "data.ttl"}
    content = {"access_token": "t", "data": {"ttl": value}}
    assert token_of(content, response=shape, lifetime="1h").expires_at == at(minutes=10)


@pytest.mark.parametrize("value", [0, -1, "soon", None, True, 1e99])
def test_a_stated_lifetime_that_makes_no_sense_does_not(value: Any) -> None:
    content = {"access_token": "t", "ttl": value}
    token = token_of(content, response={"expires_in": "ttl"}, lifetime="1h")
    assert token.expires_at == at(hours=1)


@pytest.mark.parametrize(
    "value", ["2026-03-01T12:10:00Z", "2026-03-01T21:10:00+09:00", 1772367000, 1772367000000]
)
def test_an_absolute_expiry_is_understood(value: Any) -> None:
    content = {"access_token": "t", "expires": value}
    token = token_of(content, response={"expires_at": "expires"}, lifetime="1h")
    assert token.expires_at == at(minutes=10)


@pytest.mark.parametrize("value", [0, -1, True, None, "soon", "2026-03-01T12:00:00Z", 1e300, {}])
def test_an_absolute_expiry_that_is_not_ahead_says_nothing(value: Any) -> None:
    """Believing it would renew without end."""
    content = {"access_token": "t", "expires": value}
    token = token_of(content, response={"expires_at": "expires"}, lifetime="1h")
    assert token.expires_at == at(hours=1)


# The portal's legacy calls: POST, then PATCH with the refresh token

PORTAL = endpoint(
    {"json": {"clientId": "me", "clientSecret": "canary"}},
    renewal={"url": URL, "method": "PATCH", "json": {"refreshToken": "{refresh_token}"}},
    response={"token": "accessToken", "refresh_token": "refreshToken"},
    lifetime="1h",
    refresh_lifetime="1d",
)
PREVIOUS = Token(Secret("access-1"), at(minutes=1), Secret("refresh-1"), at(hours=20))
POST = TokenRequest("POST", URL, JSON, b'{"clientId": "me", "clientSecret": "canary"}')
PATCH = TokenRequest("PATCH", URL, JSON, b'{"refreshToken": "refresh-1"}')
BOTH = answer({"accessToken": "access-2", "refreshToken": "refresh-2"})
RENEWED = Token(Secret("access-2"), at(hours=1), Secret("refresh-2"), at(days=1), assumed=True)


def test_the_portal_begins_with_id_and_secret() -> None:
    assert play(PORTAL.acquire(None), BOTH) == (RENEWED, [POST])


def test_the_portal_renews_with_the_refresh_token_instead() -> None:
    assert play(PORTAL.acquire(PREVIOUS), BOTH) == (RENEWED, [PATCH])


@pytest.mark.parametrize("status", [400, 401, 403])
def test_surprise_6_a_renewal_that_comes_too_late_begins_again(status: int) -> None:
    late = answer({"message": "token expired"}, status)
    assert play(PORTAL.acquire(PREVIOUS), late, BOTH) == (RENEWED, [PATCH, POST])


def test_surprise_6_after_both_lives_the_portal_begins_again() -> None:
    """A source hands over no refresh token that the clock has overtaken."""
    assert play(PORTAL.acquire(Token(Secret("access-1"))), BOTH) == (RENEWED, [POST])


def test_a_renewal_without_a_new_refresh_token_keeps_the_old_one_and_its_end() -> None:
    for content in ({"accessToken": "access-2"}, {"accessToken": "access-2", "refreshToken": None}):
        token, requests = play(PORTAL.acquire(PREVIOUS), answer(content))
        assert requests == [PATCH]
        assert token == replace(
            RENEWED, refresh_token=Secret("refresh-1"), refresh_expires_at=at(hours=20)
        )


def test_a_new_start_without_a_refresh_token_has_none() -> None:
    late, fresh = answer({}, 401), answer({"accessToken": "access-2"})
    token, _ = play(PORTAL.acquire(PREVIOUS), late, fresh)
    assert token == Token(Secret("access-2"), at(hours=1), assumed=True)


def test_a_refused_secret_is_asked_about_once() -> None:
    refused = answer({"error": "invalid_client"}, 401)
    error, requests = play_to_error(PORTAL.acquire(None), GrantRejected, refused)
    assert requests == [POST]
    assert error.detail.endswith("401: invalid_client")
    assert "canary" not in f"{error} {error.fix}"
    play_to_error(PORTAL.acquire(PREVIOUS), GrantRejected, refused, refused)


@pytest.mark.parametrize("content", [{}, {"accessToken": "a\nb"}])
def test_a_renewal_that_makes_no_sense_is_no_reason_to_begin_again(content: Any) -> None:
    play_to_error(PORTAL.acquire(PREVIOUS), AnswerUnusable, answer(content))
    play_to_error(PORTAL.acquire(PREVIOUS), TokenEndpointUnreachable, answer(b"<html>"))


def test_an_endpoint_in_trouble_is_no_reason_to_begin_again() -> None:
    trouble = answer({}, 503, Retry_After="7")
    error, requests = play_to_error(PORTAL.acquire(PREVIOUS), TokenEndpointUnreachable, trouble)
    assert (requests, error.retry_after) == ([PATCH], 7.0)


def test_a_refresh_token_may_not_break_out_either() -> None:
    broken = answer({"accessToken": "access-2", "refreshToken": "a\r\nb"})
    play_to_error(PORTAL.acquire(PREVIOUS), AnswerUnusable, broken)


def test_a_renewal_may_use_the_old_token_in_every_place() -> None:
    renewal = {
        "url": URL,
        "headers": {"X-Access-Token": "{token}"},
        "query": {"old": "{token}"},
        "form": {"grant": "{token}/{refresh_token}"},
    }
    provider = endpoint(renewal=renewal, response={"refresh_token": "refresh_token"})
    previous = Token(Secret("{refresh_token}+"), refresh_token=Secret("{token}"))
    _, (request,) = play(provider.acquire(previous), answer({"access_token": "t"}))
    assert request.headers == {**FORM, "X-Access-Token": "{refresh_token}+"}
    assert request.url == f"{URL}?old=%7Brefresh_token%7D%2B"
    assert request.content == b"grant=%7Brefresh_token%7D%2B%2F%7Btoken%7D"


def test_without_refresh_tokens_the_old_token_alone_renews() -> None:
    renewal = {"url": URL, "method": "PATCH", "headers": {"Authorization": "Bearer {token}"}}
    provider = endpoint(renewal=renewal)
    _, requests = play(provider.acquire(Token(Secret("old"))), answer({"access_token": "t"}))
    assert requests == [TokenRequest("PATCH", URL, {"Authorization": "Bearer old"})]
    _, requests = play(provider.acquire(None), answer({"access_token": "t"}))
    assert requests[0].method == "POST"


def test_without_a_renewal_every_token_is_a_new_start() -> None:
    _, requests = play(endpoint().acquire(PREVIOUS), answer({"access_token": "t"}))
    assert requests == [TokenRequest("POST", URL)]


# kabu Station: ResultCode 0 is the success

KABU = endpoint(
    {"json": {"APIPassword": "canary"}},
    response={"token": "Token"},
    success={"json": {"ResultCode": 0}},
)


def test_kabu_station_buys_a_token_that_has_no_known_end() -> None:
    token, requests = play(KABU.acquire(None), answer({"ResultCode": 0, "Token": "t"}))
    assert requests == [TokenRequest("POST", URL, JSON, b'{"APIPassword": "canary"}')]
    assert token == Token(Secret("t"), assumed=True)


@pytest.mark.parametrize("result", [4001013, None, "0", 1])
def test_surprise_4_a_success_whose_result_code_is_not_0_is_a_refusal(result: Any) -> None:
    content = {"ResultCode": result, "Token": "t", "Message": "トークン取得失敗"}
    error, requests = play_to_error(KABU.acquire(None), GrantRejected, answer(content))
    assert len(requests) == 1
    assert error.detail == "the token endpoint refused: トークン取得失敗"


def test_a_success_without_the_condition_is_a_refusal() -> None:
    play_to_error(KABU.acquire(None), GrantRejected, answer({"Token": "t"}))


def test_kabu_stations_wrong_password_is_told_in_its_own_words() -> None:
    wrong = answer({"Code": 4001013, "Message": "トークン取得失敗"}, 400)
    error, requests = play_to_error(KABU.acquire(None), GrantRejected, wrong)
    assert len(requests) == 1
    assert error.detail.endswith("answered 400: トークン取得失敗, 4001013")
    assert "canary" not in f"{error} {error.fix}"


# The model


def test_both_urls_are_named_so_that_no_route_reaches_them() -> None:
    assert PORTAL.endpoints() == (URL, URL)
    assert KABU.endpoints() == (URL,)


@pytest.mark.parametrize(
    "request_fields",
    [
        {"form": {}, "json": {}},
        {"method": "DELETE"},
        {"method": "post"},
        {"url": "ftp://h/"},
        {"auth": {"basic": ["canary"]}},
        {"auth": {}},
        {"canary": 1},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(request_fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        endpoint(request_fields)


@pytest.mark.parametrize("path", ["", ".", "a..b", "a. b", ".a", "a."])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        endpoint(response={"token": path})


def test_the_provider_does_not_print_its_secrets() -> None:
    shapes = {
        "auth": {"basic": ["canary", "canary"]},
        "headers": {"X-Secret": "canary"},
        "query": {"secret": "canary"},
        "form": {"secret": "canary"},
    }
    provider = endpoint(shapes, renewal={"url": URL, "json": {"secret": "canary"}})
    assert "canary" not in repr(provider)
