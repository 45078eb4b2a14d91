"""MiAuth: the server's page asks a human, and hands the token out once."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flows import answer, play, play_to_error

from proxy.credentials.providers import MiAuth
from proxy.credentials.secret import Secret
from proxy.credentials.token import Login, Token, TokenRequest
from proxy.errors import (
    AnswerUnusable,
    GrantRejected,
    LoginPending,
    SignInRequired,
    TokenEndpointUnreachable,
)

CALLBACK = "http://127.0.0.1:5000/_sidekey/login/misskey?a=1"
SESSION = "3f1c6f6e-0000-4000-8000-a b/c"


def miauth(**fields: Any) -> MiAuth:
    return MiAuth.model_validate({"type": "miauth", **fields}).at("https://misskey.example/api")


def login(**fields: Any) -> Login:
    result, requests = play(miauth(**fields).begin(CALLBACK, SESSION))
    assert requests == []
    return result


def query(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, strict_parsing=True, keep_blank_values=True)


def test_the_page_is_the_servers_own_and_shows_name_and_permissions() -> None:
    icon = "https://example.com/i.png?a&b"
    page = login(name="藍 & co", permission=["read:account", "write:notes"], icon=icon).url
    path = "https://misskey.example/miauth/3f1c6f6e-0000-4000-8000-a%20b%2Fc"
    assert page.partition("?")[0] == path
    assert query(page) == {
        "name": ["藍 & co"],
        "callback": [CALLBACK],
        "permission": ["read:account,write:notes"],
        "icon": [icon],
    }


def test_without_more_sidekey_asks_in_its_own_name_for_nothing() -> None:
    asked = query(login().url)
    assert asked == {"name": ["sidekey"], "callback": [CALLBACK], "permission": [""]}


def test_the_callback_brings_the_session_back() -> None:
    waiting = login()
    assert (waiting.state_name, waiting.state) == ("session", SESSION)


def test_another_server_than_the_upstreams_may_be_named() -> None:
    page = login(server="https://other.example:8443/").url
    assert page.startswith("https://other.example:8443/miauth/")


def test_an_approval_brings_the_token_and_the_account() -> None:
    content = {"ok": True, "token": "t" * 32, "user": {"username": "ai", "name": "藍"}}
    token, requests = play(login().finish(), answer(content))
    assert token == Token(Secret("t" * 32), outputs={"user": "@ai"})
    url = "https://misskey.example/api/miauth/3f1c6f6e-0000-4000-8000-a%20b%2Fc/check"
    assert requests == [TokenRequest("POST", url)]


def test_the_check_has_neither_content_nor_content_type() -> None:
    """Real servers refuse an empty content that claims to be JSON."""
    _, (request,) = play(login().finish(), answer({"ok": True, "token": "t"}))
    assert (request.headers, request.content) == ({}, b"")


@pytest.mark.parametrize("content", [{"ok": False}, {}, {"ok": "true"}, {"ok": 1, "token": "t"}])
def test_as_long_as_nobody_approved_the_login_is_pending(content: Any) -> None:
    """A denial looks the same: the server never tells."""
    play_to_error(login().finish(), LoginPending, answer(content))


def test_a_pending_login_may_be_asked_about_again() -> None:
    waiting = login()
    play_to_error(waiting.finish(), LoginPending, answer({"ok": False}))
    token, _ = play(waiting.finish(), answer({"ok": True, "token": "t"}))
    assert token == Token(Secret("t"))


@pytest.mark.parametrize("user", [None, {}, "ai", {"username": None}, {"username": 7}])
def test_an_account_without_a_name_is_no_error(user: Any) -> None:
    token, _ = play(login().finish(), answer({"ok": True, "token": "t", "user": user}))
    assert token.outputs == {}


def test_an_accounts_name_is_safe_for_a_terminal() -> None:
    user = {"username": "\x1b[2Jai\r\n"}
    token, _ = play(login().finish(), answer({"ok": True, "token": "t", "user": user}))
    assert token.outputs == {"user": "@[2Jai"}


def test_a_server_in_trouble_is_neither_pending_nor_a_refusal() -> None:
    play_to_error(login().finish(), TokenEndpointUnreachable, answer({}, 502))
    play_to_error(login().finish(), AnswerUnusable, answer({"ok": True}))
    play_to_error(login().finish(), AnswerUnusable, answer({"ok": True, "token": "\n"}))


def test_a_server_without_miauth_refuses() -> None:
    content = {"error": {"message": "Unknown API endpoint.", "code": "UNKNOWN_API_ENDPOINT"}}
    error, _ = play_to_error(login().finish(), GrantRejected, answer(content, 404))
    assert error.detail.endswith("404: Unknown API endpoint., UNKNOWN_API_ENDPOINT")


@pytest.mark.parametrize(
    ("previous", "why"),
    [(None, "nobody has signed in yet"), (Token(Secret("canary")), "the token was rejected")],
)
def test_surprise_11_only_a_human_gets_another_token(previous: Token | None, why: str) -> None:
    """Misskey tokens do not expire: a rejection is final, and asks the server nothing."""
    error, requests = play_to_error(miauth().acquire(previous), SignInRequired)
    error.upstream = "misskey"
    assert requests == []
    assert error.detail.startswith(why)
    assert error.fix == "sidekey login misskey"


def test_the_call_that_makes_tokens_is_named_so_that_no_route_reaches_it() -> None:
    assert miauth().endpoints() == (
        "https://misskey.example/api/miauth/gen-token",
        "https://misskey.example/api/miauth/*/check",
    )
