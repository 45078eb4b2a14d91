"""Credentials in header fields, cookies and the path."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st
from injection_samples import PLAIN, RULES, request, rule
from pydantic import ValidationError

from proxy.credentials.secret import Secret
from proxy.errors import CredentialError
from proxy.injection import inject, strip_credentials


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_every_duplicate_in_any_case_is_replaced_by_one_field(name: str) -> None:
    """Surprise 8: `Bearer dummy` of the client, also twice and in other case."""
    rules = [rule("header", "Authorization", format="Bearer {token}")]
    sent = request(fields=[(name, "Bearer dummy"), ("Accept", "*/*"), (name.swapcase(), "Basic x")])
    sent = inject(strip_credentials(sent, rules), rules, PLAIN)
    assert list(sent.headers.items()) == [
        ("Accept", "*/*"),
        ("Authorization", f"Bearer {PLAIN.reveal()}"),
    ]


def test_an_underscore_is_no_way_around_the_slot() -> None:
    """Surprise 8: servers behind CGI read X_API_KEY as X-API-KEY."""
    rules = [rule("header", "X-API-KEY")]
    fields = [("x_api_key", "dummy"), ("X-API_KEY", "dummy"), ("Job_ID", "7")]
    assert list(strip_credentials(request(fields=fields), rules).headers.items()) == fields[2:]


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Transfer_Encoding", "Content-Type", "Connection", "TE", "Upgrade"],
)
def test_a_field_of_the_connection_or_the_content_is_no_place(name: str) -> None:
    with pytest.raises(ValidationError, match="belongs to the connection"):
        RULES.validate_python({"in": "header", "name": name})


@pytest.mark.parametrize(
    ("place", "name"), [("header", "X"), ("cookie", "sid"), ("path", None), ("body", "i")]
)
def test_a_credential_with_a_line_break_is_refused_without_being_shown(
    place: str, name: str | None
) -> None:
    multipart = [("Content-Type", "multipart/form-data; boundary=b")]
    sent = request("POST", fields=multipart, content=b"--b--")
    with pytest.raises(CredentialError) as refusal:
        inject(sent, [rule(place, name)], Secret("abc\r\nEvil: 1"))
    assert "Evil" not in f"{refusal.value} {refusal.value.fix}"


def test_only_the_cookie_of_that_name_is_replaced() -> None:
    """Surprise 8: the client's other cookies stay, in order and in one field."""
    rules = [rule("cookie", "sid")]
    sent = request(fields=[("Cookie", "a=1; sid=dummy; SID=2"), ("cookie", 'sid=x; b="3"')])
    sent = inject(strip_credentials(sent, rules), rules, PLAIN)
    assert sent.headers.getall("Cookie") == [f'a=1; SID=2; b="3"; sid={PLAIN.reveal()}']


def test_a_cookie_field_without_ours_keeps_its_bytes() -> None:
    sent = request(fields=[("Cookie", "a=1;b=2;  c")])
    assert strip_credentials(sent, [rule("cookie", "sid")]).headers == sent.headers
    added = inject(sent, [rule("cookie", "sid")], PLAIN).headers.getall("Cookie")
    assert added == [f"a=1;b=2;  c; sid={PLAIN.reveal()}"]


def test_no_empty_cookie_field_is_left_behind() -> None:
    sent = request(fields=[("Cookie", "sid=dummy;")])
    assert not strip_credentials(sent, [rule("cookie", "sid")]).headers
    empty = inject(request(fields=[("Cookie", " ")]), [rule("cookie", "sid")], PLAIN)
    assert empty.headers.getall("Cookie") == [f"sid={PLAIN.reveal()}"]


def test_a_credential_cannot_add_a_second_cookie() -> None:
    with pytest.raises(CredentialError):
        inject(request(), [rule("cookie", "sid")], Secret("a; admin=1"))


_NAMES = st.sampled_from(["sid", "SID", "sid2", "a", "b"])
_VALUES = st.text("abc123=", max_size=5)


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=6), st.sampled_from(["; ", ";", " ;  "]))
def test_a_cookie_parser_finds_ours_and_all_others(
    cookies: list[tuple[str, str]], separator: str
) -> None:
    rules = [rule("cookie", "sid")]
    field = separator.join(f"{name}={value}" for name, value in cookies)
    sent = request(fields=[("Cookie", field)] if field else [])
    sent = inject(strip_credentials(sent, rules), rules, PLAIN)
    parsed = {name: morsel.value for name, morsel in SimpleCookie(sent.headers["Cookie"]).items()}
    assert parsed == dict(cookies) | {"sid": PLAIN.reveal()}
    assert sent.headers["Cookie"].count("sid=") == 1


def test_the_path_gets_one_segment_in_front() -> None:
    rules = [rule("path", format="bot{token}")]
    sent = inject(request(base="/v1", path="/getMe"), rules, Secret("123456:AB-c_d"))
    assert sent.full_path == "/v1/bot123456:AB-c_d/getMe"


def test_the_segment_is_encoded_so_that_it_stays_in_the_path() -> None:
    assert inject(request(path="/x"), [rule("path")], Secret("a?b#c d%é")).path == (
        "/a%3Fb%23c%20d%25%C3%A9/x"
    )


@pytest.mark.parametrize("token", ["..", ".", "a/../../b"])
def test_a_credential_cannot_climb_out_of_the_base_path(token: str) -> None:
    with pytest.raises(CredentialError):
        inject(request(), [rule("path")], Secret(token))


def test_paths_are_compared_before_a_segment_is_put_in_front() -> None:
    rules = [
        rule("path", format="bot{token}", paths=["/get*"]),
        rule("header", "X", paths=["/get*"]),
    ]
    assert "X" in inject(request(path="/getMe"), rules, PLAIN).headers
