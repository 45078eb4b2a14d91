"""What a trace shows of a message: names and structure, and no secret."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.observe.veil import OPAQUE, Veil, hidden

KNOWN = "known-pw"
OPAQUE_TEXT = "eyJhbGciOiJIUzI1NiJ9.e30.x"
VEIL = Veil(lambda text: text.replace(KNOWN, "***"))


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("access_token", "short", "***(5)"),
        ("refreshToken", OPAQUE_TEXT, "***(26)"),
        ("anything", OPAQUE_TEXT, "***(26)"),
        ("anything", KNOWN, "***(8)"),
        ("message", f"the key {KNOWN} is wrong", "the key *** is wrong"),
        ("message", f"the key {OPAQUE_TEXT} is wrong", "the key ***(26) is wrong"),
        ("error_description", "no such client: ask the operator", None),
        ("error", "unsupported_grant_type", None),
        ("error", "abcdefghijklmnopqrstuvwxyz", "***(26)"),
        ("code", "AUTHENTICATION_FAILED", None),
        ("code", "Spl0xlOBeZQQYbYS6WxSbIA1", "***(24)"),
        ("token_type", "Bearer", None),
        ("token_type", OPAQUE_TEXT, "***(26)"),
        ("expires_at", "2026-03-01T12:00:00.123Z", None),
        ("tokenExpiresAt", "2026-03-01T12:00:00Z", None),
        ("validToken", "short", "***(5)"),
        ("refresh_token_expires_in", 86400, None),
        ("expires_in", 3600, None),
        ("password", 123456, "***(6)"),
        ("pin", int(9 * "123"), "***(27)"),
        ("ok", True, None),
        ("token", None, None),
        ("token", "", None),
        ("page", "https://host/a?state=1&code=abc", None),
        ("page", "https://me:pw@host/a?token=abc#f", "https://host/a?token=***(3)"),
        ("page", f"https://host/{OPAQUE_TEXT}/a", "https://host/***(26)/a"),
    ],
)
def test_a_member_of_an_answer_is_shown_or_hidden(name: str, value: Any, shown: str | None) -> None:
    found = VEIL.json({name: [{name: value}]})
    assert found == {name: [{name: value if shown is None else shown}]}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Basic bWU6cHc=", "Basic ***(8)"),
        ("authorization", "Bearer x", "Bearer ***(1)"),
        ("Set-Cookie", "a=b; Path=/", "***(11)"),
        ("X-Api-Key", "short", "***(5)"),
        ("Content-Type", "application/x-www-form-urlencoded", None),
        (
            "Location",
            "/realms/a/login?session=abc&token=abc",
            "/realms/a/login?session=abc&token=***(3)",
        ),
        ("Etag", '"0123456789abcdef0123"', "***(22)"),
    ],
)
def test_a_field_is_shown_or_hidden(name: str, value: str, shown: str | None) -> None:
    assert VEIL.field(name, value) == (value if shown is None else shown)


def test_a_form_keeps_its_names_and_hides_values_however_they_are_spelled() -> None:
    assert VEIL.form("grant_type=password&user=a%20b&password=x%26y&k=known%2Dpw&e=") == (
        "grant_type=password&user=a%20b&password=***(3)&k=***(8)&e="
    )


def test_words_of_standards_and_scopes_are_shown() -> None:
    form = (
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
        "&scope=read+write+and+more+of+it&assertion=eyJhbGciOiJIUzI1NiJ9"
    )
    assert VEIL.form(form) == form.replace("eyJhbGciOiJIUzI1NiJ9", "***(20)")


def test_a_url_hides_what_its_query_and_path_hold() -> None:
    url = f"https://host:1/api/miauth/{OPAQUE_TEXT}/check?refreshtoken={OPAQUE_TEXT}&a=1"
    assert VEIL.url(url) == "https://host:1/api/miauth/***(26)/check?refreshtoken=***(26)&a=1"


@given(
    st.text(
        st.characters(codec="ascii", categories=("L", "N"), include_characters="-_.~+/="),
        min_size=OPAQUE,
        max_size=60,
    ),
    st.sampled_from(["name", "value", "data", "id", "location_of", "type", "k"]),
)
def test_no_long_text_without_spaces_is_shown_whatever_its_name(text: str, name: str) -> None:
    for found in (VEIL.json({name: text}), VEIL.json([text]), VEIL.form(f"{name}={text}")):
        assert text not in str(found)
    assert VEIL.json({name: text})[name] == hidden(text)
