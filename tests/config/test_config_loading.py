"""Where a configuration is found, what wins over it, and secrets that stand in it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from proxy.config import find, load
from proxy.errors import ConfigError

GOOD = """
upstreams:
  a:
    base_url: https://a.example/v1/
    provider: {type: api_key, keys: "${KEY}"}
"""
ENVIRON = {"KEY": "k"}


def test_what_is_not_written_has_the_documented_default(load_text):
    settings = load_text(GOOD, ENVIRON).settings
    upstream = settings.upstreams["a"]
    assert (settings.listen.host, settings.listen.port) == ("127.0.0.1", 8080)
    assert settings.store.type == "file"
    assert upstream.base_url == "https://a.example/v1"
    assert [rejection.status for rejection in upstream.reject_on] == [401]
    assert upstream.client_credential == "replace"
    assert upstream.timeouts.connect == timedelta(seconds=10)
    assert upstream.timeouts.read == timedelta(minutes=5)
    (rule,) = upstream.inject
    assert (rule.place, rule.name, rule.format) == ("header", "Authorization", "Bearer {token}")


def test_options_win_over_environment_over_file(load_text):
    text = "listen: {host: file.example, port: 1}\nclients: {keys: a-made-up-client-key}" + GOOD
    environ = ENVIRON | {"SIDEKEY_HOST": "environ.example", "SIDEKEY_PORT": "2"}
    assert load_text(text, ENVIRON).settings.listen.host == "file.example"
    assert load_text(text, environ).settings.listen.port == 2
    listen = load_text(text, environ, {"listen.port": 3}).settings.listen
    assert (listen.host, listen.port) == ("environ.example", 3)
    socket = load_text(GOOD, ENVIRON | {"SIDEKEY_UNIX_SOCKET": "/run/s"}).settings.listen
    assert socket.unix_socket == Path("/run/s")


def test_a_wrong_option_is_reported_under_its_own_name(issues):
    overrides = {"listen.port": 70000, "listen.unix_socket": "~/s"}
    assert issues("listen: {host: ''}" + GOOD, ENVIRON | {"SIDEKEY_PORT": "x"}, overrides) == [
        "sidekey.yaml:1:10: listen.host: must not be empty",
        "--port: must be 65535 or less",
        "--unix-socket: ~ is not expanded here: write ${HOME}",
    ]
    assert issues(GOOD, ENVIRON | {"SIDEKEY_PORT": "x"}) == [
        "SIDEKEY_PORT: expected a whole number"
    ]


LITERAL = {
    "by type": (GOOD.replace("${KEY}", "hunter2"), "5:31: upstreams.a.provider.keys"),
    "in a list": (GOOD.replace('"${KEY}"', "[a]"), "5:38: upstreams.a.provider.keys[0]"),
    "as input of a preset": (
        (
            "upstreams:\n  a:\n    preset: misskey-token\n    base_url: https://m.example\n"
            "    provider: {token: hunter2}"
        ),
        "5:16: upstreams.a.provider.token",
    ),
    "by name": (
        (
            "upstreams:\n  a:\n    base_url: https://a.example\n    provider:\n"
            "      type: token_endpoint\n      request:\n        url: https://a.example/token\n"
            "        json: {clientSecret: hunter2}"
        ),
        "8:16: upstreams.a.provider.request.json.clientSecret",
    ),
    "with an escaped dollar": (
        GOOD.replace("${KEY}", "$${KEY}"),
        "5:31: upstreams.a.provider.keys",
    ),
}


@pytest.mark.parametrize("case", LITERAL)
def test_a_literal_secret_is_refused_where_others_can_read_it(case, issues):
    text, place = LITERAL[case]
    for mode in (0o644, 0o640, 0o604):
        assert issues(text, mode=mode) == [
            (
                f"sidekey.yaml:{place}: a secret stands in a file that others can read:"
                " chmod 600, or use ${VAR} or ${file:...}"
            )
        ]


@pytest.mark.parametrize("case", LITERAL)
def test_a_literal_secret_in_a_private_file_is_a_warning(case, load_text):
    text, place = LITERAL[case]
    (warning,) = load_text(text).warnings
    assert f"sidekey.yaml:{place}: a secret stands in the file" in warning
    assert "unter2" not in warning


def test_a_secret_that_is_referred_to_may_stand_in_a_readable_file(load_text):
    assert load_text(GOOD, ENVIRON, mode=0o644).warnings == ()


UNBRACED = "$VAR is no reference (did you mean ${VAR}?); write $$ for a dollar sign"


def test_a_variable_without_braces_is_a_warning_that_does_not_repeat_it(load_text):
    """It may be a password that begins with a dollar sign."""
    loaded = load_text(GOOD.replace("${KEY}", "$hunter2"))
    assert loaded.settings.upstreams["a"].provider.keys[0].reveal() == "$hunter2"
    (warning,) = loaded.warnings
    assert warning.endswith(f"sidekey.yaml:5:31: upstreams.a.provider.keys: {UNBRACED}")
    assert "unter2" not in warning


@pytest.mark.parametrize("key", ["$$KEY", "$5", "$a-b", "pa$word", "$", "$KEY $KEY"])
def test_whoever_wants_a_dollar_sign_hears_nothing_of_braces(key, load_text):
    (warning,) = load_text(GOOD.replace("${KEY}", key)).warnings
    assert "a secret stands in the file" in warning


def test_a_variable_without_braces_is_told_in_place_of_what_follows(issues):
    text = f"listen: {{port: $PORT, front_proxy: '$FRONT'}}{GOOD}"
    text = text.replace("https://a.example/v1/", "$BASE")
    assert issues(text, ENVIRON) == [
        f"sidekey.yaml:1:10: listen.port: {UNBRACED}",
        f"sidekey.yaml:1:23: listen.front_proxy: {UNBRACED}",
        f"sidekey.yaml:4:5: upstreams.a.base_url: {UNBRACED}",
    ]


def test_a_variable_without_braces_is_refused_as_a_secret_where_others_can_read_it(issues):
    refused, unbraced = issues(GOOD.replace("${KEY}", "$KEY"), ENVIRON, mode=0o644)
    assert "a secret stands in a file that others can read" in refused
    assert unbraced == f"sidekey.yaml:5:31: upstreams.a.provider.keys: {UNBRACED}"


def test_a_preset_without_braces_is_unknown_all_the_same(issues):
    unknown, unbraced = issues(GOOD.replace("base_url", "preset: $PRESET\n    base_url"), ENVIRON)
    assert "unknown preset" in unknown
    assert unbraced == f"sidekey.yaml:4:5: upstreams.a.preset: {UNBRACED}"


def test_an_option_that_wins_over_a_variable_without_braces_is_not_blamed(load_text):
    text = f"listen: {{port: $PORT}}{GOOD}"
    assert load_text(text, ENVIRON, {"listen.port": 0}).warnings == ()


def test_a_file_that_is_not_there_is_an_issue(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml", environ={})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, environ={})


def test_the_first_file_in_the_order_of_the_contract_is_found(tmp_path):
    cwd, xdg = tmp_path / "cwd", tmp_path / "xdg"
    (xdg / "sidekey").mkdir(parents=True)
    cwd.mkdir()
    named, variable = tmp_path / "named.yaml", tmp_path / "variable.yaml"
    places = [
        xdg / "sidekey" / "config.yaml",
        cwd / "config.yaml",
        cwd / "sidekey.yaml",
    ]
    for place in places:
        place.touch()
        assert find(None, environ={"XDG_CONFIG_HOME": str(xdg)}, cwd=cwd) == (
            place,
            place.parent != cwd,
        )
    variable.touch()
    environ = {"SIDEKEY_CONFIG": str(variable)}
    assert find(None, environ=environ, cwd=cwd) == (variable, True)
    named.touch()
    assert find(named, environ=environ, cwd=cwd) == (named, True)


def test_a_file_of_the_current_directory_is_trusted_once_it_is_named(tmp_path):
    path = tmp_path / "sidekey.yaml"
    path.touch()
    assert find(None, environ={}, cwd=tmp_path) == (path, False)
    assert find(Path("sidekey.yaml"), environ={}, cwd=tmp_path) == (path, True)
    assert find(None, environ={"SIDEKEY_CONFIG": "sidekey.yaml"}, cwd=tmp_path) == (path, True)


def test_without_xdg_config_home_the_home_is_looked_into(tmp_path):
    place = tmp_path / ".config" / "sidekey" / "config.yaml"
    place.parent.mkdir(parents=True)
    place.touch()
    assert find(None, environ={"HOME": str(tmp_path)}, cwd=tmp_path) == (place, True)


def test_a_named_file_that_is_not_there_is_never_replaced_by_another(tmp_path):
    (tmp_path / "sidekey.yaml").touch()
    with pytest.raises(ConfigError, match=r"--config: no such file: none\.yaml"):
        find(Path("none.yaml"), environ={}, cwd=tmp_path)
    with pytest.raises(ConfigError, match="SIDEKEY_CONFIG: no such file: /none"):
        find(None, environ={"SIDEKEY_CONFIG": "/none"}, cwd=tmp_path)


def test_without_any_file_every_place_and_the_next_step_are_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        find(None, environ={"XDG_CONFIG_HOME": str(tmp_path / "xdg")}, cwd=tmp_path)
    text = str(caught.value)
    for expected in (
        "--config",
        "SIDEKEY_CONFIG",
        f"{tmp_path}/sidekey.yaml",
        f"{tmp_path}/config.yaml",
        f"{tmp_path}/xdg/sidekey/config.yaml",
        "/etc/sidekey/config.yaml",
        "sidekey demo",
        "sidekey init",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("environ", "overrides"),
    [({"SIDEKEY_PORT": "9"}, {}), ({"SIDEKEY_UNIX_SOCKET": "/b"}, {"listen.port": 9})],
)
def test_an_address_takes_the_place_of_a_socket_that_a_lower_level_names(
    tmp_path, environ, overrides
):
    path = tmp_path / "sidekey.yaml"
    path.write_text(
        "listen: {unix_socket: /a}\n"
        "upstreams:\n"
        "  a: {base_url: https://a.example, provider: {type: miauth}}\n"
    )
    listen = load(path, environ=environ, overrides=overrides).settings.listen
    assert (listen.unix_socket, listen.port) == (None, 9)
