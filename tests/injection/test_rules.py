"""What all injection rules share: their configuration, their paths, failing closed."""

from __future__ import annotations

import jsonschema
import pytest
from injection_samples import PLAIN, RULES, TOKEN, post, request, rule
from pydantic import ValidationError

from proxy.injection import (
    OutgoingRequest,
    client_values,
    content_limit,
    inject,
    needs_token,
    strip_credentials,
)
from proxy.refusals import ContentNotInjectable


def test_the_json_schema_knows_every_place_by_the_key_in() -> None:
    schema = RULES.json_schema()
    places = {one["properties"]["in"]["const"] for one in schema["$defs"].values()}
    assert places == {"header", "query", "body", "cookie", "path"}
    jsonschema.validate({"in": "query", "name": "i", "paths": ["/streaming"]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"place": "query", "name": "i"}, schema)


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "X"},
        {"in": "trailer", "name": "X"},
        {"in": "header"},
        {"in": "header", "place": "header", "name": "X"},
        {"in": "header", "name": "X", "prefix": "Bearer"},
        {"in": "header", "name": "X Y"},
        {"in": "header", "name": ""},
        {"in": "header", "name": "X:"},
        {"in": "header", "name": "X", "format": "{token}\r\nY: 1"},
        {"in": "query", "name": ""},
        {"in": "query", "name": "a\x00"},
        {"in": "query", "name": "i", "paths": ["streaming"]},
        {"in": "body", "name": "i", "max_size": 0},
        {"in": "body", "name": 'i"'},
        {"in": "cookie", "name": "a;b"},
        {"in": "cookie", "name": "a=b"},
        {"in": "path", "name": "x"},
        {"in": "path", "format": "bot/{token}"},
        {"in": "path", "format": ".."},
    ],
)
def test_an_unusable_rule_is_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RULES.validate_python(keys)


def test_a_fixed_value_may_be_a_secret_and_is_not_printed() -> None:
    fixed = rule("header", "Client-Id", format="fixed-secret")
    assert "fixed-secret" not in repr(fixed)


def test_a_request_does_not_print_the_credential_it_carries() -> None:
    rules = [rule("header", "X-Key"), rule("query", "i"), rule("path"), rule("body", "i")]
    sent = inject(request("POST", path="/getMe"), rules, PLAIN)
    assert PLAIN.reveal() in sent.path
    assert PLAIN.reveal() not in repr(sent)


def test_only_the_literal_placeholder_is_replaced() -> None:
    sent = inject(request(), [rule("header", "X", format="{} {!x} {token} {token.x}")], PLAIN)
    assert sent.headers["X"] == f"{{}} {{!x}} {PLAIN.reveal()} {{token.x}}"


def test_a_rule_is_applied_only_on_its_paths_which_include_the_base_path() -> None:
    rules = [rule("header", "X", paths=["/v1/api/**"])]
    on = request(base="/v1", path="/api/i")
    off = request(base="/v1", path="/files/1")
    assert inject(on, rules, PLAIN).headers["X"] == PLAIN.reveal()
    assert inject(off, rules, PLAIN) == off
    assert needs_token(on, rules)
    assert not needs_token(off, rules)


def test_the_clients_value_is_stripped_on_every_path() -> None:
    rules = [rule("header", "X", paths=["/api/**"]), rule("query", "i", paths=["/streaming"])]
    stripped = strip_credentials(request(query="i=1", path="/other", fields=[("x", "1")]), rules)
    assert stripped.query == ""
    assert not stripped.headers


def test_a_fixed_value_takes_no_token() -> None:
    rules = [rule("header", "X", format="fixed")]
    assert not needs_token(request(), rules)
    assert inject(request(), rules, None).headers["X"] == "fixed"


def test_a_request_never_leaves_without_the_token_that_a_rule_asks_for() -> None:
    with pytest.raises(ValueError, match="needs a token"):
        inject(request(), [rule("header", "X")], None)


def test_several_rules_are_applied_in_order() -> None:
    rules = [
        rule("header", "Authorization", format="Bearer {token}"),
        rule("header", "Client-Id", format="me"),
        rule("query", "first", format="1"),
        rule("query", "second", format="2"),
    ]
    sent = inject(request(), rules, PLAIN)
    assert sent.headers["Authorization"] == f"Bearer {PLAIN.reveal()}"
    assert sent.headers["Client-Id"] == "me"
    assert sent.query == "first=1&second=2"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_a_get_that_only_body_rules_could_serve_is_refused_with_advice(method: str) -> None:
    """Surprise 15: the credential of a GET has to go elsewhere, or the request stays here."""
    with pytest.raises(ContentNotInjectable) as refusal:
        inject(request(method), [rule("body", "i")], PLAIN)
    assert "header or query rule" in str(refusal.value.fix)
    assert refusal.value.status == 400


def test_a_fixed_header_does_not_make_up_for_a_body_rule_that_cannot_be_applied() -> None:
    rules = [rule("body", "i"), rule("header", "X", format="fixed")]
    with pytest.raises(ContentNotInjectable):
        inject(request("GET"), rules, PLAIN)


def test_a_fixed_body_value_is_left_out_of_a_get() -> None:
    rules = [rule("body", "app", format="fixed")]
    assert inject(request("GET"), rules, None) == request("GET")


def test_a_get_with_a_query_rule_carries_the_credential_there_and_has_no_content() -> None:
    """Surprise 15: GET takes `i` from the query on the endpoints that allow GET."""
    rules = [rule("body", "i"), rule("query", "i", paths=["/api/emojis"])]
    sent = inject(request("GET", path="/api/emojis", query="limit=1"), rules, PLAIN)
    assert sent.query == f"limit=1&i={PLAIN.reveal()}"
    assert not sent.has_content


@pytest.mark.parametrize(
    ("place", "name"), [("query", "i"), ("header", "Authorization"), ("cookie", "sid")]
)
def test_a_websocket_handshake_carries_the_credential_like_any_get(place: str, name: str) -> None:
    """Surprise 15: a websocket's `i` stands in the query or in a Bearer header."""
    handshake = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "a")]
    sent = inject(request(path="/streaming", fields=handshake), [rule(place, name)], PLAIN)
    assert PLAIN.reveal() in sent.query + "".join(sent.headers.values())
    assert handshake == [field for field in sent.headers.items() if field in handshake]


@pytest.mark.parametrize(
    ("place", "name", "sent"),
    [
        ("header", "X-Key", request(fields=[("x_key", "dummy")])),
        ("query", "api_key", request(query="%61pi_key=dummy")),
        ("cookie", "sid", request(fields=[("Cookie", "a=1; sid=dummy")])),
    ],
)
def test_a_clients_own_credential_is_noticed(place: str, name: str, sent: OutgoingRequest) -> None:
    """Surprise 8: it may then be replaced or refused, as the operator likes."""
    assert client_values(sent, [rule(place, name)]) == ["dummy"]
    assert client_values(request(query="b=1"), [rule(place, name)]) == []


def test_a_clients_own_value_for_a_fixed_field_is_no_credential() -> None:
    rules = [rule("header", "User-Agent", format="sidekey")]
    assert client_values(request(fields=[("User-Agent", "curl")]), rules) == []


def test_the_limit_of_content_is_the_smallest_of_the_rules_that_need_it() -> None:
    rules = [rule("body", "i", max_size=10), rule("body", "j", max_size=5), rule("header", "X")]
    assert content_limit(post(b"{}"), rules) == 5
    assert content_limit(post(b"{}"), rules[2:]) is None


def test_a_request_is_never_changed_in_place() -> None:
    rules = [rule("header", "X"), rule("cookie", "c"), rule("query", "i"), rule("body", "i")]
    before = post(b'{"i":1}')
    again = post(b'{"i":1}')
    inject(strip_credentials(before, rules), rules, PLAIN)
    assert before == again


def test_a_replay_with_another_token_starts_from_the_stripped_request() -> None:
    rules = [rule("query", "i"), rule("body", "i")]
    stripped = strip_credentials(post(b"{}"), rules)
    first, second = inject(stripped, rules, TOKEN), inject(stripped, rules, PLAIN)
    assert first.content != second.content
    assert second.content == b'{"i":"%s"}' % PLAIN.reveal().encode()
    assert second.query == f"i={PLAIN.reveal()}"


@pytest.mark.parametrize("wrong", ["Bearer {tokn}", "{token}{user}", "{TOKEN}"])
def test_a_misspelt_placeholder_is_an_error(wrong: str) -> None:
    with pytest.raises(ValidationError, match=r"the only placeholder is \{token\}"):
        RULES.validate_python({"in": "header", "name": "X-A", "format": wrong})


@pytest.mark.parametrize("right", ["Bearer {token}", '{"a": "{token}"}', "{}", "{ token }", "2023"])
def test_other_braces_are_text(right: str) -> None:
    RULES.validate_python({"in": "header", "name": "X-A", "format": right})
