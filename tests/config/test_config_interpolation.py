"""References in values: what they become, and what is said where they lead nowhere."""

from __future__ import annotations

import os

import pytest


def upstream(keys: str) -> str:
    return f"""
upstreams:
  a:
    base_url: https://a.example
    provider:
      type: api_key
      keys: {keys}
"""


def test_references_are_replaced_by_the_rules_that_compose_users_know(password):
    assert password("${KEY}", {"KEY": "v"}) == "v"
    assert password("a${KEY}b${KEY}", {"KEY": "v"}) == "avbv"
    assert password("${KEY:-fallback}") == "fallback"
    assert password("${KEY:-fallback}", {"KEY": ""}) == "fallback"
    assert password("${KEY:-fallback}", {"KEY": "v"}) == "v"
    assert password("${KEY:?say why}", {"KEY": "v"}) == "v"


def test_dollar_signs_stand_for_themselves_unless_a_brace_follows(password):
    assert password("$5 pa$word $HOME") == "$5 pa$word $HOME"
    assert password("$${KEY} $$") == "${KEY} $"


def test_a_value_is_never_read_again_as_reference_or_yaml(password):
    assert (
        password("${KEY}", {"KEY": "${OTHER} $$ {token}\n- x: [y"})
        == "${OTHER} $$ {token}\n- x: [y"
    )


def test_a_variable_stays_text_in_a_text_field_and_becomes_a_number_in_a_number_field(load_text):
    text = upstream("${KEY}") + "listen: {port: '${PORT}'}\n"
    loaded = load_text(text, {"KEY": "007", "PORT": "9000"})
    assert loaded.settings.upstreams["a"].provider.keys[0].reveal() == "007"
    assert loaded.settings.listen.port == 9000


def test_keys_are_not_interpolated(issues):
    assert issues(upstream("x") + "  ${KEY}: {}\n", {"KEY": "b"})[0].startswith(
        "sidekey.yaml:8:3: upstreams."
    )


def test_one_trailing_newline_of_a_file_is_dropped(password, tmp_path):
    (tmp_path / "secret").write_text("from file\n\n")
    (tmp_path / "secret").chmod(0o600)
    assert password(f"${{file:{tmp_path}/secret}}") == "from file\n"
    assert password("${file:secret}") == "from file\n", "relative to the configuration"


WRONG = {
    "${KEY}": "the environment variable KEY is not set",
    "${KEY:?ask the portal for one}": (
        "the environment variable KEY is not set: ask the portal for one"
    ),
    "${KEY": "'${' without '}': write $${ for these characters themselves",
    "${hunter-2}": (
        "unknown kind of reference: write ${VAR}, ${VAR:-default}, ${VAR:?message}, ${file:/path},"
        " ${credential:name}, ${keyring:service/user}, ${exec:program arguments},"
        " or $$ for a dollar sign"
    ),
    "${file:/no/such}": "no such file: /no/such",
    "${file:/dev/zero}": "/dev/zero is no regular file",
    "${keyring:nothing}": "expected ${keyring:service/user}",
    "${KEY:-}": "must not be empty",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_reference_that_leads_nowhere_is_reported_at_its_place(text, issues):
    expected = f"sidekey.yaml:7:7: upstreams.a.provider.keys: {WRONG[text]}"
    assert issues(upstream(f"'{text}'")) == [expected]


def test_files_that_cannot_be_a_secret_are_named(issues, tmp_path):
    (tmp_path / "large").write_bytes(b"x" * (64 * 1024 + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "fifo")
    place = "sidekey.yaml:7:7: upstreams.a.provider.keys: "
    assert issues(upstream("${file:large}")) == [place + "large is larger than 64 KiB"]
    assert issues(upstream("${file:binary}")) == [place + "binary is not UTF-8"]
    assert issues(upstream("${file:fifo}")) == [place + "fifo is no regular file"]
    assert issues(upstream('"${file:a\\0b}"'))[0].startswith(place)


def test_a_message_of_the_users_own_stays_one_line(issues):
    assert issues(upstream('"${KEY:?ask\\n\\e[31mhim}"')) == [
        (
            "sidekey.yaml:7:7: upstreams.a.provider.keys:"
            " the environment variable KEY is not set: ask [31mhim"
        )
    ]


def test_every_missing_variable_is_reported_at_once_in_the_order_of_the_file(issues):
    text = """
listen: {port: "${PORT}"}
upstreams:
  a:
    base_url: ${BASE}
    provider:
      type: oauth2_client_credentials
      token_url: ${TOKEN_URL}
      client_id: ${ID}
      client_secret: ${SECRET}
"""
    assert issues(text) == [
        "sidekey.yaml:2:10: listen.port: the environment variable PORT is not set",
        "sidekey.yaml:5:5: upstreams.a.base_url: the environment variable BASE is not set",
        (
            "sidekey.yaml:8:7: upstreams.a.provider.token_url:"
            " the environment variable TOKEN_URL is not set"
        ),
        "sidekey.yaml:9:7: upstreams.a.provider.client_id: the environment variable ID is not set",
        (
            "sidekey.yaml:10:7: upstreams.a.provider.client_secret:"
            " the environment variable SECRET is not set"
        ),
    ]
