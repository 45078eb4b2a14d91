"""A registered Misskey app: the token is made of the access token and the app's secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flows import answer, play, play_to_error

from proxy.credentials.providers import MisskeyApp
from proxy.credentials.secret import Secret
from proxy.credentials.token import Login, Token, TokenRequest
from proxy.errors import (
    AnswerUnusable,
    GrantRejected,
    LoginPending,
    SignInRequired,
    TokenEndpointUnreachable,
)

APP = MisskeyApp(type="misskey_app", app_secret=Secret("canary-app-secret")).at(
    "https://misskey.example/api"
)
API = "https://misskey.example/api/auth/session"
PAGE = "https://misskey.example/auth/session-1"
GENERATED = answer({"token": "session-1", "url": PAGE})


def refusal(code: str) -> Any:
    return answer({"error": {"message": "…", "code": code, "id": "8c8a4145"}}, 400)


def login() -> Login:
    return play(APP.begin("http://127.0.0.1:5000/", "state"), GENERATED)[0]


def test_a_session_is_made_with_the_apps_secret() -> None:
    _, (request,) = play(APP.begin("http://127.0.0.1:5000/", "state"), GENERATED)
    assert (request.method, request.url) == ("POST", f"{API}/generate")
    assert request.headers == {"Content-Type": "application/json"}
    assert json.loads(request.content) == {"appSecret": "canary-app-secret"}


def test_the_page_and_the_session_are_the_servers() -> None:
    waiting = login()
    assert (waiting.url, waiting.state_name, waiting.state) == (PAGE, "token", "session-1")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"token": "session-1"},
        {"url": PAGE},
        {"token": "", "url": PAGE},
        {"token": "session-1", "url": "file:///etc/passwd"},
        {"token": "session-1", "url": "javascript:alert(1)"},
        {"token": "session-1", "url": "--remote-debugging"},
        {"token": 1, "url": PAGE},
    ],
)
def test_a_session_that_no_browser_should_open_is_no_session(content: Any) -> None:
    play_to_error(APP.begin("http://h/", "s"), TokenEndpointUnreachable, answer(content))


def test_an_unknown_app_is_told_in_the_servers_words() -> None:
    error, requests = play_to_error(
        APP.begin("http://h/", "s"), GrantRejected, refusal("NO_SUCH_APP")
    )
    assert len(requests) == 1
    assert error.detail.endswith("400: …, NO_SUCH_APP")
    assert "canary" not in f"{error} {error.fix}"


def test_the_token_is_the_sha_256_of_access_token_and_app_secret() -> None:
    content = {"accessToken": "access", "user": {"username": "ai"}}
    token, (request,) = play(login().finish(), answer(content))
    # printf '%s' accesscanary-app-secret | sha256sum
    expected = "07f675894e477cd6fca7b94153e59a4b307c018d6a84a04e37d83cea1a9f6d39"
    assert token == Token(Secret(expected), outputs={"user": "@ai"})
    assert (request.method, request.url) == ("POST", f"{API}/userkey")
    assert json.loads(request.content) == {"appSecret": "canary-app-secret", "token": "session-1"}


def test_pending_session_means_that_nobody_has_approved_yet() -> None:
    waiting = login()
    play_to_error(waiting.finish(), LoginPending, refusal("PENDING_SESSION"))
    play_to_error(waiting.finish(), LoginPending, refusal("PENDING_SESSION"))
    assert play(waiting.finish(), answer({"accessToken": "a"}))[0].value


@pytest.mark.parametrize("code", ["NO_SUCH_SESSION", "NO_SUCH_APP"])
def test_any_other_code_ends_the_login(code: str) -> None:
    error, _ = play_to_error(login().finish(), GrantRejected, refusal(code))
    assert code in error.detail


@pytest.mark.parametrize("content", [b"", b"[" * 9999, b"<html>", b"null", b'{"error": 1}'])
def test_a_refusal_that_is_no_error_envelope_ends_the_login(content: bytes) -> None:
    play_to_error(login().finish(), GrantRejected, answer(content, 400))


@pytest.mark.parametrize("content", [{}, {"accessToken": None}, {"accessToken": "a b"}])
def test_a_success_without_access_token_is_no_login(content: Any) -> None:
    play_to_error(login().finish(), AnswerUnusable, answer(content))


@pytest.mark.parametrize("previous", [None, Token(Secret("canary"))])
def test_surprise_11_only_a_human_gets_another_token(previous: Token | None) -> None:
    error, requests = play_to_error(APP.acquire(previous), SignInRequired)
    error.upstream = "misskey"
    assert requests == []
    assert error.fix == "sidekey login misskey"


def test_the_token_endpoints_are_named_so_that_no_route_reaches_them() -> None:
    assert APP.endpoints() == (f"{API}/generate", f"{API}/userkey")


def test_the_provider_does_not_print_its_secret() -> None:
    request = TokenRequest("POST", f"{API}/generate", {}, b"canary")
    assert "canary" not in f"{APP!r} {APP.model_dump()} {request!r}"
