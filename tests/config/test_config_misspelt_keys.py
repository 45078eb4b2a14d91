"""One slip is one issue: what seems to be missing because of a misspelt key is not told too."""

from __future__ import annotations

import re

import pytest

ENVIRON = {"KEY": "k", "ADDRESS": "a@b.example"}
PRESET = "unknown key (did you mean 'preset'?)"
BASE = "base_url: https://a.example"
V1 = "preset: jquants-v1"

# What stands below the upstream `a`, and all that is said of it, without the places.
SLIPS = {
    "a preset's key": (
        "presett: jquants-v1\nprovider: {mailaddress: $ADDRESS, password: $KEY}",
        [f"presett: {PRESET}"],
    ),
    "a preset's key, and nothing else": ("presett: misskey", [f"presett: {PRESET}"]),
    "a preset's key beside an unknown one, which is none of a preset's": (
        "presett: jquants-v1\nxyz: $ADDRESS",
        [f"presett: {PRESET}", "xyz: unknown key"],
    ),
    "a preset's key beside one of a provider that stands too high": (
        "presett: jquants-v1\nmail_address: $ADDRESS",
        [
            f"presett: {PRESET}",
            "mail_address: unknown key (did you mean 'provider.mailaddress'?)",
        ],
    ),
    "a preset's key, where the provider has what only the preset knows": (
        "presett: x\nprovider: {type: api_key, client_secret: $KEY}",
        [f"presett: {PRESET}"],
    ),
    "a preset's key, where the provider alone would be incomplete": (
        "presett: jquants-v1\nprovider: {type: jquants}",
        [f"presett: {PRESET}"],
    ),
    "a preset's key beside a value that is wrong in any case": (
        "presett: misskey\nport: many",
        [f"presett: {PRESET}", "port: expected a whole number"],
    ),
    "a preset that is no text": ("preset: 5", ["preset: expected text: put the value in quotes"]),
    "a preset that is not known": (
        "preset: jquants\nprovider: {client: $KEY}",
        ["preset: unknown preset (did you mean 'jquants-v2'?); `sidekey presets` lists them"],
    ),
    "a preset from a variable that is not set": (
        "preset: $UNSET",
        ["preset: the environment variable UNSET is not set"],
    ),
    "the provider": (
        f"{BASE}\nprovder: {{type: api_key, keys: $KEY}}",
        ["provder: unknown key (did you mean 'provider'?)"],
    ),
    "the provider of a preset": (
        "preset: kabu-station\nprovder: {api_password: $KEY}",
        ["provder: unknown key (did you mean 'provider'?)"],
    ),
    "the provider of a preset that needs one of two things": (
        f"{V1}\nprovder: {{mailaddress: $ADDRESS, password: $KEY}}",
        ["provder: unknown key (did you mean 'provider'?)"],
    ),
    "base_url": (
        "baseurl: https://a.example\nprovider: {type: api_key, keys: $KEY}",
        ["baseurl: unknown key (did you mean 'base_url'?)"],
    ),
    "a key of a provider": (
        f"{BASE}\nprovider: {{type: api_key, key: $KEY}}",
        ["provider.key: unknown key (did you mean 'keys'?)"],
    ),
    "a provider's type": (
        f"{BASE}\nprovider: {{typ: api_key, keys: $KEY}}",
        ["provider.typ: unknown key (did you mean 'type'?)"],
    ),
    "the place of a rule": (
        f"{BASE}\nprovider: {{type: api_key, keys: $KEY}}\ninject: [{{inn: query, name: k}}]",
        ["inject[0].inn: unknown key (did you mean 'in'?)"],
    ),
    "an input of a preset": (
        "preset: fujitsu-portal-legacy\nprovider: {client_id: i, client_sceret: $KEY}",
        ["provider.client_sceret: unknown key (did you mean 'client_secret'?)"],
    ),
    "inputs of a preset that stand too high": (
        f"{V1}\nmail_address: $ADDRESS\npassword: $KEY",
        [
            "mail_address: unknown key (did you mean 'provider.mailaddress'?)",
            "password: unknown key (did you mean 'provider.password'?)",
        ],
    ),
    "a key of a provider that stands too high": (
        f"{BASE}\nprovider: {{type: api_key}}\nkeys: $KEY",
        ["keys: unknown key (did you mean 'provider.keys'?)"],
    ),
    "a provider without a section of its own": (
        f"{BASE}\ntype: api_key\nkeys: $KEY",
        [
            "type: unknown key (did you mean 'provider.type'?)",
            "keys: unknown key (did you mean 'provider.keys'?)",
        ],
    ),
    "a key whose variable is not set either": (
        f"{BASE}\nprovider: {{type: api_key, key: $UNSET}}",
        [
            "provider.key: the environment variable UNSET is not set",
            "provider.key: unknown key (did you mean 'keys'?)",
        ],
    ),
    "a key like none, beside what is missing": (
        "xyz: 1\nprovider: {type: api_key, abc: 1}",
        [
            "base_url: is required",
            "xyz: unknown key",
            "provider.keys: is required",
            "provider.abc: unknown key",
        ],
    ),
    "one key, while another one is missing": (
        "preset: fujitsu-portal-legacy\nprovider: {client_sceret: $KEY}",
        [
            "provider.client_id: is required",
            "provider.client_sceret: unknown key (did you mean 'client_secret'?)",
        ],
    ),
}


@pytest.fixture
def said(issues):
    def _said(upstream: str) -> list[str]:
        lines = re.sub(r"\$(\w+)", r"'${\1}'", upstream).splitlines()
        text = "upstreams:\n  a:\n" + "".join(f"    {line}\n" for line in lines)
        return [
            re.sub(r"sidekey\.yaml:\d+:\d+: upstreams\.a\.", "", issue)
            for issue in issues(text, ENVIRON)
        ]

    return _said


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_without_what_follows_from_it(slip, said):
    text, expected = SLIPS[slip]
    assert said(text) == expected


def test_once_the_slip_is_mended_the_rest_is_told(said):
    text = "{}: fujitsu-portal-legacy\nprovider: {{client_id: i, client: 1}}"
    assert said(text.format("presett")) == [f"presett: {PRESET}"]
    assert said(text.format("preset")) == [
        "provider.client_secret: is required",
        "provider.client: unknown key (did you mean 'client_id'?)",
    ]


def test_a_slip_in_one_upstream_hides_nothing_of_another_one(issues):
    assert issues("upstreams:\n  preset:\n    presett: misskey\n  b: {}\n") == [
        f"sidekey.yaml:3:5: upstreams.preset.presett: {PRESET}",
        "sidekey.yaml:4:3: upstreams.b.base_url: is required",
        "sidekey.yaml:4:3: upstreams.b.provider: is required",
    ]
    assert len(issues("upstreams:\n  preset: 1\n  b: {}\n")) == 3


@pytest.mark.parametrize("more", ["", "\n    provider: {x: 1}"])
def test_a_slip_is_told_whatever_the_upstream_is_called(issues, more):
    """Whatever hides others is not hidden itself."""
    assert issues(f"upstreams:\n  provider:\n    presett: misskey{more}\n") == [
        f"sidekey.yaml:3:5: upstreams.provider.presett: {PRESET}"
    ]


def test_a_slip_does_not_hide_that_the_upstreams_name_is_none(issues):
    name, slip = issues("upstreams: {A: {preset: kabu-station, provider: {api_pasword: x}}}")
    assert "upstreams.A: a name holds a-z" in name
    assert "(did you mean 'api_password'?)" in slip


def test_a_key_that_is_called_as_pydantic_calls_keys_is_unknown(issues):
    assert issues("'[key]': 1\nupstreams: {}\n")[0].endswith("<key>: unknown key")


def test_an_upstream_that_is_called_as_a_key_is_told_what_is_wrong_in_it(issues):
    whole = "{base_url: '%s', provider: {type: api_key, keys: '${KEY}'}}"
    text = (
        "upstreams:\n"
        f"  limits: {whole % 'https://a.example'}\n"
        f"  cookies: {whole % 'ftp://a.example'}\n"
        "  inject:\n"
    )
    said = "\n".join(issues(text, ENVIRON))
    assert "upstreams.cookies.base_url" in said
    assert "upstreams.limits" not in said


def test_a_key_is_not_sent_to_where_it_stands_already(said):
    text = f"{BASE}\nprovider: {{type: api_key}}\nallow: [{{methods: [GET], provider: x}}]"
    assert said(text) == ["provider.keys: is required", "allow[0].provider: unknown key"]


def test_a_misspelt_section_is_not_missing_too(issues):
    assert issues("upstream: {}\n") == [
        "sidekey.yaml:1:1: upstream: unknown key (did you mean 'upstreams'?)"
    ]


WHOLE = """\
listen: {timeouts: {head: 1s}}
clients: {header: {name: Sidekey-Client, value: $LONG_KEY}}
store: {type: memory}
upstreams:
  a:
    preset: fujitsu-portal-legacy
    provider: {client_id: i, client_secret: $KEY}
    limits: {rate: 1/m, burst: 1}
  b:
    base_url: https://b.example
    provider: {type: jquants, mailaddress: $ADDRESS, password: $KEY}
    inject: [{in: query, name: k}]
    allow: [{methods: [GET]}]
    local_answers: [{paths: [/x], json: {}}]
"""
KEY = re.compile(r"\b\w{2,}(?=:\s)")


def test_whichever_key_is_misspelt_it_is_told_and_told_alone(issues):
    text = re.sub(r"\$(\w+)", r"'${\1}'", WHOLE)
    environ = ENVIRON | {"LONG_KEY": "k" * 32}
    keys = list(KEY.finditer(text))
    assert len(keys) == 30
    for found in keys:
        misspelt = f"{found[0]}{found[0][-1]}"
        slip = text[: found.start()] + misspelt + text[found.end() :]
        (issue,) = issues(slip, environ)
        assert f"{misspelt}: unknown key (did you mean '" in issue
