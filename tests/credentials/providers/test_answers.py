"""What a token endpoint may answer, and what is made of it; the same for every provider.

The flow here is that of client credentials: one request, `access_token`, `expires_in`.
"""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from flows import SENT_AT, answer, at, play, play_to_error
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.credentials.providers import OAuth2ClientCredentials
from proxy.credentials.providers.answers import Expiry, expiry, moment, parse, pick, printable
from proxy.credentials.secret import Secret
from proxy.credentials.token import Token, TokenFlow, TokenRequest, TokenResponse, without_query
from proxy.errors import AnswerUnusable, GrantRejected, SidekeyError, TokenEndpointUnreachable

SECRET = "canary-client-secret"
SECRETS = (SECRET, base64.b64encode(f"me:{SECRET}".encode()).decode())


def flow() -> TokenFlow:
    return OAuth2ClientCredentials(
        type="oauth2_client_credentials",
        token_url="https://auth.example.com/token",
        client_id="me",
        client_secret=Secret(SECRET),
        default_lifetime=timedelta(minutes=30),
    ).acquire(None)


def token_of(content: Any, status: int = 200) -> Token:
    return token_in(answer(content, status))


def token_in(response: TokenResponse) -> Token:
    return play(flow(), response)[0]


def error_of(response: TokenResponse, expected: type[SidekeyError]) -> SidekeyError:
    error, requests = play_to_error(flow(), expected, response)
    assert len(requests) == 1, "a refusal is never tried again within a flow"
    assert not [secret for secret in SECRETS if secret in f"{error!r} {error.fix}"]
    return error


def jwt(exp: Any) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{claims}.signature"


# Success


@pytest.mark.parametrize("status", [200, 201])
def test_200_and_201_are_both_a_success(status: int) -> None:
    """Surprise 4: some vendors answer 201."""
    assert token_of({"access_token": "t"}, status).value == Secret("t")


def test_fields_that_are_empty_or_unknown_are_no_error() -> None:
    assert token_of({"access_token": "t", "error": None, "state": "approved", "scope": ""})


def test_a_token_of_16_kib_is_taken_and_a_longer_one_is_not() -> None:
    assert token_of({"access_token": "t" * 16 * 1024})
    error_of(answer({"access_token": "t" * (16 * 1024 + 1)}), AnswerUnusable)


@pytest.mark.parametrize(
    "token",
    ["a\nb", "a\r\nX-Evil: 1", "a b", "a\0", "tökén", "\u2028", "a\x7f", "", 1, None, ["t"]],
)
def test_a_token_that_could_break_out_of_a_header_field_is_no_token(token: Any) -> None:
    error = error_of(answer({"access_token": token}), AnswerUnusable)
    assert "'access_token'" in error.detail
    assert "Evil" not in error.detail


# Expiry, counted from when the request was sent


@pytest.mark.parametrize("expires_in", [3600, 3600.0, "3600", " 3600 "])
def test_expires_in_may_be_a_number_or_a_text(expires_in: Any) -> None:
    token = token_of({"access_token": "t", "expires_in": expires_in})
    assert token.expires_at == at(hours=1)


@pytest.mark.parametrize(
    "expires_in",
    [
        "0",
        "-1",
        "NaN",
        "1e99",
        "Infinity",
        "-Infinity",
        "true",
        "null",
        '""',
        '"soon"',
        "[]",
        "{}",
        '"NaN"',
        pytest.param("9" * 400, id="huge"),
        pytest.param(f'"{"9" * 400}"', id="huge text"),
    ],
)
def test_a_lifetime_that_makes_no_sense_gives_the_default(expires_in: str) -> None:
    token = token_of(f'{{"access_token": "t", "expires_in": {expires_in}}}'.encode())
    assert token.expires_at == at(minutes=30)


def test_an_answer_without_expiry_gives_the_default() -> None:
    """Surprise 1."""
    assert token_of({"access_token": "t"}).expires_at == at(minutes=30)


def test_a_jwt_that_expires_earlier_than_stated_wins() -> None:
    soon = at(minutes=10).timestamp()
    assert token_of({"access_token": jwt(soon), "expires_in": 3600}).expires_at == at(minutes=10)
    assert token_of({"access_token": jwt(soon)}).expires_at == at(minutes=10)


def test_a_jwt_that_expires_later_than_stated_does_not_win() -> None:
    token = token_of({"access_token": jwt(at(hours=9).timestamp()), "expires_in": 3600})
    assert token.expires_at == at(hours=1)


def test_a_jwt_expiry_in_milliseconds_is_understood() -> None:
    token = token_of({"access_token": jwt(int(at(minutes=10).timestamp() * 1000))})
    assert token.expires_at == at(minutes=10)


def test_a_jwt_that_has_expired_already_says_that_a_clock_is_wrong() -> None:
    """Believing it would renew without end."""
    token = token_of({"access_token": jwt(at(hours=-2).timestamp()), "expires_in": 3600})
    assert token.expires_at == at(hours=1)


@pytest.mark.parametrize(
    "token",
    [
        jwt("soon"),
        jwt(None),
        jwt(True),
        jwt(float("nan")),
        jwt(float("inf")),
        pytest.param(jwt(10**400), id="huge"),
        jwt(-(10**20)),
        jwt([1]),
        "a.b.c",
        "..",
        "a.!!!!.c",
        "a.bnVsbA.c",
        "a.W10.c",
        "a.gICA.c",
        pytest.param(f"a.{base64.urlsafe_b64encode(b'[' * 9000).decode()}.c", id="deep"),
    ],
)
def test_a_jwt_with_a_garbled_expiry_is_a_token_like_any_other(token: str) -> None:
    assert token_of({"access_token": token}).expires_at == at(minutes=30)


def test_a_token_in_five_parts_is_no_jwt() -> None:
    """J-Quants' refresh tokens are JWE: nobody can read their claims."""
    token = token_of({"access_token": jwt(at(minutes=1).timestamp()) + ".x.y"})
    assert token.expires_at == at(minutes=30)


def test_without_any_hint_a_token_does_not_expire() -> None:
    response = answer({})
    nothing = Expiry(None, assumed=True)
    assert expiry(response, Secret("t"), expires_in=None, default=None) == nothing
    assert expiry(response, Secret(jwt(1)), expires_in=0, default=None) == nothing


def test_a_lifetime_is_assumed_only_where_the_answer_tells_none() -> None:
    told, claimed = {"access_token": "t", "expires_in": 60}, jwt(at(minutes=1).timestamp())
    assert token_of({"access_token": "t"}).assumed
    assert not token_of(told).assumed
    assert not token_of({"access_token": claimed}).assumed


# The server's clock


def dated(**ahead: float) -> str:
    """Return the Date of a server whose clock is that much ahead."""
    return format_datetime(at(**ahead), usegmt=True)


@pytest.mark.parametrize("ahead", [-7200, -60, 60, 7200])
def test_a_jwt_expires_by_our_clock_however_far_ahead_the_server_is(ahead: float) -> None:
    claimed = jwt(at(seconds=ahead + 600).timestamp())
    response = answer({"access_token": claimed}, Date=dated(seconds=ahead))
    assert token_in(response).expires_at == at(minutes=10)


def test_a_few_seconds_are_the_time_that_an_answer_takes() -> None:
    claimed = jwt(at(minutes=10).timestamp())
    response = answer({"access_token": claimed}, Date=dated(seconds=4))
    assert token_in(response).expires_at == at(minutes=10)


def test_a_lifetime_in_seconds_knows_no_clock() -> None:
    response = answer({"access_token": "t", "expires_in": 60}, Date=dated(hours=5))
    assert token_in(response).expires_at == at(minutes=1)


@pytest.mark.parametrize(
    "date", ["", "canary", "Sun, 99 Xyz 2026 00:00:00 GMT", "Sun, 01 Mar 2026 12:05:00 -0000"]
)
def test_a_date_that_is_none_is_no_clock(date: str) -> None:
    claimed = jwt(at(minutes=10).timestamp())
    assert token_in(answer({"access_token": claimed}, Date=date)).expires_at == at(minutes=10)


# Failures that may pass


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_transient_status_may_be_tried_again(status: int) -> None:
    error = error_of(answer({"error": "invalid_client"}, status), TokenEndpointUnreachable)
    assert error.detail == f"the token endpoint answered {status}"
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("86400", 3600.0),
        pytest.param("9" * 400, 3600.0, id="huge"),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after_is_honoured_up_to_an_hour(field: str, seconds: float | None) -> None:
    error = error_of(answer({}, 429, Retry_After=field), TokenEndpointUnreachable)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"<html>maintenance</html>",
        b"[]",
        b"null",
        b'"t"',
        b"1",
        b"\xff\xfe",
        pytest.param(b"[" * 99999, id="deep"),
        b'{"access_token": "t"',
        b"access_token=t&expires_in=3600",
    ],
)
def test_a_success_that_is_no_json_object_may_be_tried_again(content: bytes) -> None:
    error = error_of(answer(content), TokenEndpointUnreachable)
    assert error.detail == "the token endpoint answered 200 without a JSON object"


# Refusals, which stand


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 405, 413, 415, 204])
def test_any_other_status_is_a_refusal(status: int) -> None:
    assert error_of(answer(b"", status), GrantRejected).detail.endswith(f"answered {status}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"error": "invalid_client"}, ": invalid_client"),
        (
            {"error": "invalid_grant", "error_description": "期限切れ"},
            ": invalid_grant, 期限切れ",
        ),
        (
            {"message": "'mailaddress' or 'password' is incorrect."},
            ": 'mailaddress' or 'password' is incorrect.",
        ),
        ({"Code": 4001013, "Message": "パスワード不一致"}, ": パスワード不一致, 4001013"),
        (
            {"error": {"message": "No such app.", "code": "NO_SUCH_APP"}},
            ": No such app., NO_SUCH_APP",
        ),
        ({"errors": [{"code": 38187}]}, ""),
        (b"<html>canary</html>", ""),
        ([], ""),
        (None, ""),
    ],
)
def test_a_refusal_is_told_in_the_vendors_words(content: Any, words: str) -> None:
    error = error_of(answer(content, 400), GrantRejected)
    assert error.detail == f"the token endpoint answered 400{words}"


def test_an_error_in_a_success_is_a_refusal() -> None:
    """Slack and GitHub answer 200."""
    error = error_of(answer({"ok": False, "error": "invalid_auth"}), GrantRejected)
    assert error.detail == "the token endpoint answered 200: invalid_auth"


def test_a_refusals_words_are_short_and_safe_for_a_terminal() -> None:
    words = "\x1b[2J\x1b]0;evil\x07" + "\u202e" + "long" * 1000 + "\r\nnext"
    detail = error_of(answer({"error": words}, 400), GrantRejected).detail
    assert detail.isprintable()
    assert len(detail) < 400


# The pieces


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", {"b": [{"c": 1}]}),
        ("a.b.0.c", 1),
        ("a.b.1", None),
        ("a.b.c", None),
        ("x.y", None),
        ("a.b.-1", None),
        ("a.b.²", None),
        ("", None),
        ("a.b.0.c.d", None),
    ],
)
def test_a_path_leads_into_objects_and_lists(path: str, found: Any) -> None:
    assert pick({"a": {"b": [{"c": 1}]}}, path) == found


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00",
        "2026-03-01T21:00:00+09:00",
        1772366400,
        1772366400.0,
        "1772366400",
        1772366400000,
        "1772366400000",
        "1772366400.0",
    ],
)
def test_a_moment_is_read_as_iso_8601_or_as_seconds_or_milliseconds(value: Any) -> None:
    assert moment(value) == SENT_AT


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "soon",
        [],
        {},
        float("nan"),
        float("inf"),
        1e300,
        -1e300,
        10**400,
        "²",
        "0001-01-01T00:00:00+14:00",
        "2026-13-01",
    ],
)
def test_a_moment_that_makes_no_sense_is_none(value: Any) -> None:
    assert moment(value) is None


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["access_token", "expires_in", "error", "message", "code"]), inner
            )
        ),
        max_leaves=8,
    ),
    st.sampled_from([200, 201, 204, 302, 400, 401, 429, 500]),
)
def test_whatever_json_comes_it_is_a_token_or_one_of_our_errors(content: Any, status: int) -> None:
    try:
        token = token_of(content, status)
    except SidekeyError as error:
        said = error.detail
    else:
        said = token.value.reveal()
        assert token.expires_at is not None
        assert token.expires_at > SENT_AT
    assert said.isprintable()


def test_garbage_is_none_and_not_a_crash() -> None:
    assert [parse(content) for content in (b"", b"{", b"\xff", b"[" * 99999)] == [None] * 4


def test_what_a_stranger_says_is_cut_at_300_characters() -> None:
    assert printable("x" * 999 + "\n") == "x" * 300


# What a log may see


def test_requests_and_responses_print_neither_query_nor_fields_nor_content() -> None:
    request = TokenRequest("POST", "https://u:p@h/p?canary=1#f", {"A": "canary"}, b"canary")
    response = answer({"access_token": "canary"}, 200, Set_Cookie="canary")
    assert repr(request) == "TokenRequest(POST https://h/p)"
    assert repr(response) == "TokenResponse(200)"
    assert "canary" not in repr(Token(Secret("canary"), refresh_token=Secret("canary")))
    assert without_query("https://h:8443/a?b#c") == "https://h:8443/a"
