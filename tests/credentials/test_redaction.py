"""What is known does not appear, however it is spelled; nothing else changes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.credentials.redaction import GENERATIONS, Redaction
from proxy.credentials.secret import Secret

TEXT = st.text(alphabet=st.characters(exclude_characters="*"))
SECRET = st.text(alphabet=st.characters(exclude_characters="*"), min_size=8)
ASCII_SECRET = st.text(alphabet=[chr(code) for code in range(32, 127) if code != ord("*")])


def knowing(*secrets: str) -> Redaction:
    redaction = Redaction()
    for secret in secrets:
        redaction.know(Secret(secret))
    return redaction


def encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


SPELLED = {
    "raw": lambda secret: secret,
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON in UTF-8": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "JSON of PHP": lambda secret: json.dumps(secret)[1:-1].replace("/", r"\/"),
    "path": lambda secret: quote(encoded(secret)),
    "query": lambda secret: quote(encoded(secret), safe=""),
    "form": lambda secret: quote_plus(encoded(secret)),
    "JavaScript": lambda secret: quote(encoded(secret), safe="!*'()"),
    "lower hexadecimal": lambda secret: quote(encoded(secret), safe="").lower(),
    "capitals": lambda secret: "".join(c.upper() if c.isascii() else c for c in secret),
}


@given(spelling=st.sampled_from(sorted(SPELLED)), secret=SECRET, before=TEXT, after=TEXT)
def test_a_spelling_is_gone_wherever_it_stands(
    spelling: str, secret: str, before: str, after: str
) -> None:
    spelled = SPELLED[spelling](secret)
    masked = knowing(secret).masked(before + spelled + after)
    assert encoded(spelled).lower() not in encoded(masked).lower()
    assert "***" in masked


@given(
    encode=st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
    secret=SECRET,
    before=st.binary(),
    after=st.binary(),
    text=TEXT,
)
def test_a_base64_text_around_a_secret_cannot_be_decoded_to_it(
    encode: Callable[[bytes], bytes], secret: str, before: bytes, after: bytes, text: str
) -> None:
    """Such as `id:secret` of Basic, whatever the length of the id."""
    inside = encode(before + encoded(secret) + after).decode()
    masked = knowing(secret).masked(text + inside)
    assert "***" in masked
    for shift in range(4):
        letters = masked[len(text) + shift :].replace("*", "A")
        decoded = base64.b64decode(letters[: len(letters) // 4 * 4], altchars=b"-_")
        assert encoded(secret) not in decoded


@given(secrets=st.lists(SECRET, max_size=3), text=TEXT)
def test_a_text_without_a_secret_is_not_changed(secrets: list[str], text: str) -> None:
    redaction = knowing(*secrets)
    assume(not redaction.spans(encoded(text)))
    assert redaction.masked(text) == text


@given(secrets=st.lists(ASCII_SECRET, max_size=4), text=TEXT)
def test_what_is_found_is_what_a_plain_search_for_each_secret_finds(
    secrets: list[str], text: str
) -> None:
    """The index is an index only: letters, digits and `-` have one spelling beside base64."""
    names = ["".join(c for c in secret if c.isalnum() or c == "-") for secret in secrets]
    plain = [name.lower() for name in names if len(name) >= 8]
    text = text.join(plain)
    found = {
        (start, start + len(name))
        for name in plain
        for start in range(len(encoded(text)))
        if encoded(text).lower().startswith(name.encode(), start)
    }
    covered = {place for span in knowing(*plain).spans(encoded(text)) for place in range(*span)}
    assert covered >= {place for span in found for place in range(*span)}


def test_secrets_that_overlap_are_masked_as_one() -> None:
    redaction = knowing("abcdefgh12", "gh12345678")
    assert redaction.masked("<abcdefgh12345678>") == "<***>"


@pytest.mark.parametrize("text", ["<secret-long>", "<secret-long-and-longer>"])
def test_a_secret_may_be_the_beginning_of_another(text: str) -> None:
    assert knowing("secret-long", "secret-long-and-longer").masked(text) == "<***>"


@pytest.mark.parametrize("secret", [r"(a+)+$.*[^]\w{9}", "p@ss/word+ü&=%", "パスワードの秘密です"])
def test_a_secret_is_no_pattern(secret: str) -> None:
    redaction = knowing(secret)
    assert redaction.masked(f"is {secret}!") == "is ***!"
    assert redaction.masked("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") == "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


def test_a_secret_of_seven_characters_is_not_looked_for() -> None:
    assert knowing("seven77").masked("seven77") == "seven77"
    assert knowing("eight888").masked("eight888") == "***"


def test_basic_authentication_is_found_with_the_form_encoding_of_rfc_6749() -> None:
    credentials = f"me:{quote_plus('p@ss/word+1')}".encode()
    echoed = f"Basic {base64.b64encode(credentials).decode()}"
    assert base64.b64encode(b"p%40ss%2Fword%2B1").decode()[:-2] not in knowing(
        "p@ss/word+1"
    ).masked(echoed)
    assert "***" in knowing("p@ss/word+1").masked(echoed)


def test_the_previous_generations_of_a_token_stay_known_and_the_oldest_are_forgotten() -> None:
    redaction = Redaction()
    tokens = [f"token-number-{number:03}" for number in range(GENERATIONS + 1)]
    for token in tokens:
        redaction.remember(Secret(token), Secret(f"refresh-{token}"))
    assert (
        redaction.masked(f"{tokens[0]} refresh-{tokens[0]}") == f"{tokens[0]} refresh-{tokens[0]}"
    )
    assert redaction.masked(" ".join(tokens[1:])) == " ".join(["***"] * GENERATIONS)


def test_a_token_that_comes_back_counts_as_the_latest() -> None:
    redaction = Redaction()
    redaction.remember(Secret("first-token"))
    for number in range(20):
        redaction.remember(Secret(f"token-number-{number:03}"))
        redaction.remember(Secret("first-token"))
    assert redaction.masked("first-token") == "***"


def test_a_configured_secret_stays_known_when_it_is_forgotten_as_a_token() -> None:
    redaction = knowing("configured-key")
    redaction.remember(Secret("configured-key"))
    for number in range(GENERATIONS):
        redaction.remember(Secret(f"token-number-{number:03}"))
    assert redaction.masked("configured-key") == "***"


def test_a_part_finds_its_own_secrets_and_masks_with_those_of_the_whole() -> None:
    whole = Redaction()
    first, second = Redaction(whole=whole), Redaction(whole=whole)
    first.know(Secret("key-of-the-first"))
    second.remember(Secret("token-of-the-second"))
    said = "key-of-the-first token-of-the-second"
    assert first.spans(said.encode()) == [(0, 16)]
    assert second.spans(said.encode()) == [(17, 36)]
    assert {known.masked(said) for known in (first, second, whole)} == {"*** ***"}


def test_a_proxy_that_runs_for_long_knows_no_more_than_before() -> None:
    whole = Redaction()
    part = Redaction(whole=whole)
    for number in range(10 * GENERATIONS):
        part.remember(Secret(f"token-number-{number:03}"))
    fresh = Redaction()
    for number in range(9 * GENERATIONS, 10 * GENERATIONS):
        fresh.remember(Secret(f"token-number-{number:03}"))
    assert whole.index._known == part.index._known == fresh.index._known
    held = [sum(map(len, known.index._words.values())) for known in (whole, part, fresh)]
    assert held[0] == held[1] == held[2]


def test_no_word_leads_to_many_secrets_though_all_begin_alike() -> None:
    """What a look at one place costs does not grow with the number of upstreams."""
    redaction = Redaction()
    for number in range(1000):
        payload = base64.b64encode(f'{{"sub":"{number * 7919:08}"}}'.encode()).decode()
        redaction.know(Secret(f"eyJhbGciOiJSUzI1NiJ9.{payload}.{number * 104729:012}"))
    assert max(map(len, redaction.index._words.values())) < 100
