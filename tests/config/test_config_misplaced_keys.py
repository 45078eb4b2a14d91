"""A key that is right elsewhere is told where it belongs, whatever is like it here."""

from __future__ import annotations

import pytest

ENVIRON = {"KEY": "k"}
PROVIDER = "provider: {type: api_key, keys: '${KEY}'}"
A = f"a: {{base_url: https://a.example, {PROVIDER}}}"
B = f"b: {{base_url: https://b.example, {PROVIDER}}}"
GOOD = f"upstreams:\n  {A}\n"
TWO = f"{GOOD}  {B}\n"

IN_UPSTREAM = {
    "rate": "'limits.rate'",
    "content": "'limits.content'",
    "connect": "'timeouts.connect'",
    "read": "'timeouts.read'",  # `redact` is like it
    "keys": "'provider.keys'",
    "type": "'provider.type'",
    "clients": "'clients' at the top",  # `limits` is like it
    "listen": "'listen' at the top",
    "store": "'store' at the top",
}
IN_PROVIDER = {
    "inject": "'upstreams.a.inject'",
    "limits": "'upstreams.a.limits'",
    "base_url": "'upstreams.a.base_url'",
    "preset": "'upstreams.a.preset'",
    "listen": "'listen' at the top",
}
AT_THE_TOP = {
    "host": "'listen.host'",
    "path": "'store.path'",
    "preset": "'upstreams.NAME.preset'",
    "base_url": "'upstreams.NAME.base_url'",
    "provider": "'upstreams.NAME.provider'",
    "port": "'listen.port' or 'upstreams.NAME.port'",
    "timeouts": "'listen.timeouts' or 'upstreams.NAME.timeouts'",
}


def hint(meant: str) -> str:
    return f"unknown key (did you mean {meant}?)"


@pytest.mark.parametrize(("key", "meant"), IN_UPSTREAM.items())
def test_a_key_of_a_section_or_of_the_top_is_told_where_it_belongs(key, meant, issues):
    text = f"upstreams:\n  a:\n    base_url: https://a.example\n    {PROVIDER}\n    {key}: 1\n"
    assert issues(text, ENVIRON) == [f"sidekey.yaml:5:5: upstreams.a.{key}: {hint(meant)}"]


@pytest.mark.parametrize(("key", "meant"), IN_PROVIDER.items())
def test_a_key_that_stands_too_deep_is_told_where_it_belongs(key, meant, issues):
    lacking = GOOD.replace("base_url: https://a.example, ", "") if key == "base_url" else GOOD
    (line,) = issues(lacking.replace("'}", f"', {key}: 1}}"), ENVIRON)
    assert line.endswith(f": upstreams.a.provider.{key}: {hint(meant)}")


@pytest.mark.parametrize(("key", "meant"), AT_THE_TOP.items())
def test_a_key_that_stands_too_high_is_told_where_it_belongs(key, meant, issues):
    assert issues(f"{key}: 1\n{TWO}", ENVIRON) == [f"sidekey.yaml:1:1: {key}: {hint(meant)}"]
    (line,) = issues(f"{key}: 1\n{GOOD}", ENVIRON)
    assert line == f"sidekey.yaml:1:1: {key}: {hint(meant.replace('NAME', 'a'))}"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("clients: {header: {keys: x}}", "clients.header.keys: " + hint("'clients.keys'")),
        ("listen: {head: 1s}", "listen.head: " + hint("'timeouts.head'")),
        ("listen: {timeouts: {store: 1}}", "listen.timeouts.store: " + hint("'store' at the top")),
    ],
)
def test_every_section_is_looked_at_in_the_same_way(written, told, issues):
    assert any(line.endswith(f": {told}") for line in issues(written))


@pytest.mark.parametrize("key", ["upstreams", "provider"])
def test_a_key_is_not_told_to_belong_where_it_stands(key, issues):
    (line,) = issues(GOOD.replace("'}", f"', {key}: 1}}"), ENVIRON)
    assert line.endswith(f": upstreams.a.provider.{key}: unknown key")


BASE = "base_url: https://a.example"
MEANT = {
    f"{BASE}\n{PROVIDER}": ["base_url", "provider"],
    f"{BASE}\nupstreams: {{a: {{{PROVIDER}}}}}": ["base_url"],
    f"preset: misskey\n{BASE}\nupstreams: {{a: {{}}}}": ["preset", "base_url"],
    "upstreams: {a: {provider: {type: miauth, base_url: https://a.example}}}": [
        "upstreams.a.provider.base_url"
    ],
    "listen: {upstreams: {}}": ["listen.upstreams"],
}


@pytest.mark.parametrize("text", MEANT)
def test_what_a_misplaced_key_was_meant_for_is_not_missing_too(text, issues):
    found = issues(text, ENVIRON)
    assert [line.split(": ")[1] for line in found] == MEANT[text]
    assert all("did you mean" in line for line in found)


def test_what_is_missing_in_another_upstream_is_told_nevertheless(issues):
    text = f"base_url: https://a.example\nupstreams:\n  a: {{{PROVIDER}}}\n  b: {{{PROVIDER}}}\n"
    assert issues(text, ENVIRON) == [
        "sidekey.yaml:1:1: base_url: " + hint("'upstreams.NAME.base_url'"),
        "sidekey.yaml:3:3: upstreams.a.base_url: is required",
        "sidekey.yaml:4:3: upstreams.b.base_url: is required",
    ]


def test_keys_of_the_upstream_are_told_in_a_provider_without_a_type_too(issues):
    """Such as somebody's who wrote the preset there."""
    text = "upstreams: {a: {provider: {preset: misskey-token, token: '${KEY}'}}}"
    (line,) = issues(text, ENVIRON)
    assert line.endswith("upstreams.a.provider.preset: " + hint("'upstreams.a.preset'"))
    text = "upstreams: {a: {provider: {base_url: https://a.example, inject: []}}}"
    assert [line.partition("upstreams.a.")[2] for line in issues(text)] == [
        "base_url: is required",  # jquants takes one too
        "provider.type: is required",
        "provider.inject: " + hint("'upstreams.a.inject'"),
    ]


@pytest.mark.parametrize(
    ("upstream", "keys"),
    [
        (f"{BASE}, {PROVIDER}", ["base_url", "provider"]),
        ("preset: misskey-token, provider: {token: '${KEY}'}", ["preset", "provider"]),
        ("preset: misskey", ["preset"]),
    ],
)
def test_keys_that_stand_where_names_should_are_told_to_belong_below_one(upstream, keys, issues):
    text = f"upstreams: {{{upstream}}}"
    found = [line.partition("upstreams.")[2] for line in issues(text, ENVIRON)]
    assert found == [f"{key}: " + hint(f"'NAME.{key}'") for key in keys]


def test_what_is_wrong_beside_keys_without_a_name_is_told_too(issues):
    found = issues("listen: {port: x}\nupstreams:\n  preset: misskey\n  b: {port: x}\n")
    assert [line.split(": ")[1] for line in found] == [
        "listen.port",
        "upstreams.preset",
        *("upstreams.b.base_url", "upstreams.b.provider", "upstreams.b.port"),
    ]


def test_an_upstream_may_be_called_like_a_key(load_text, issues):
    text = GOOD.replace(" a:", " provider:")
    assert list(load_text(text, ENVIRON).settings.upstreams) == ["provider"]
    (line,) = issues(text.replace("'}", "', tpye: 1}"), ENVIRON)
    assert line.endswith(": upstreams.provider.provider.tpye: " + hint("'type'"))


def test_an_upstreams_name_is_told_as_far_as_it_may_be(issues):
    text = GOOD.replace(" a:", " hunter-2!:").replace("'}", "', inject: 1}")
    assert any(hint("'upstreams.<key>.inject'") in line for line in issues(text, ENVIRON))
    assert not any("hunter" in line for line in issues(f"host: 1\nbase_url: 1\n{text}", ENVIRON))


def test_an_input_of_a_preset_is_unknown_once_the_type_of_its_provider_is_another_one(issues):
    provider = "{type: jquants, refresh_token: '${KEY}', keys: '${KEY}'}"
    (line,) = issues(f"upstreams: {{a: {{preset: jquants-v2, provider: {provider}}}}}", ENVIRON)
    assert line.endswith(": upstreams.a.provider.keys: unknown key")
