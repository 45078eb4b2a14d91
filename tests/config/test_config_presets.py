"""The catalogue: each preset and a few secrets make a working upstream."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from proxy.config import presets
from proxy.credentials.providers import ApiKey, JQuants, MiAuth, MisskeyApp, TokenEndpoint
from proxy.pathglob import matches

SERVER = "https://misskey.example"
PORTAL = "https://api.aispf.global.fujitsu.com"

# What a user writes, beside the preset's name.
WRITTEN: dict[str, dict[str, object]] = {
    "jquants-v1": {"provider": {"mailaddress": "${SECRET}", "password": "${SECRET}"}},
    "jquants-v2": {"provider": {"keys": "${SECRET}"}},
    "fujitsu-portal-key": {"provider": {"keys": ["${SECRET}", "${OTHER}"]}},
    "fujitsu-portal-oauth2": {"provider": {"client_id": "me", "client_secret": "${SECRET}"}},
    "fujitsu-portal-legacy": {"provider": {"client_id": "me", "client_secret": "${SECRET}"}},
    "misskey": {"base_url": SERVER},
    "misskey-token": {"base_url": SERVER, "provider": {"token": "${SECRET}"}},
    "misskey-app": {"base_url": SERVER, "provider": {"app_secret": "${SECRET}"}},
    "kabu-station": {"provider": {"api_password": "${SECRET}"}},
}
ENVIRON = {"SECRET": "{token} se:cret", "OTHER": "other"}
SHARED_MISSKEY = ("base_url", "inject", "reject_on", "deny", "local_answers")


@pytest.fixture
def upstream(load_text):
    """Load one upstream of a preset, from a file that others can read."""

    def _upstream(name: str, **changes: object):
        written = {"preset": name} | WRITTEN[name] | changes
        text = json.dumps({"upstreams": {"x": written}})
        return load_text(text, ENVIRON, mode=0o644).settings.upstreams["x"]

    return _upstream


def sent(upstream, previous=None):
    """Return the first token request of an upstream's provider."""
    return next(upstream.provider.at(upstream.base_url).acquire(previous))


def test_the_catalogue_holds_what_the_tests_know():
    assert list(presets()) == sorted(WRITTEN)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_preset_and_its_secrets_make_an_upstream(name, upstream):
    loaded = upstream(name)
    assert loaded.preset == name
    assert presets()[name].description
    assert presets()[name].inputs.keys() >= set(WRITTEN[name].get("provider", {}))


@pytest.mark.parametrize("name", WRITTEN)
def test_the_token_endpoints_of_a_preset_are_denied_or_answered_locally(name, upstream):
    loaded = upstream(name)
    denied = [glob for rule in loaded.deny if not rule.methods for glob in rule.paths]
    local = [glob for answer in loaded.local_answers for glob in answer.paths]
    for url in loaded.provider.at(loaded.base_url).endpoints():
        assert matches(urlsplit(url).path, denied + local), url


def test_jquants_v1_signs_in_and_answers_token_calls_of_the_client_itself(upstream):
    loaded = upstream("jquants-v1")
    assert isinstance(loaded.provider, JQuants)
    assert sent(loaded).url == "https://api.jquants.com/v1/token/auth_user"
    answers = {rule.paths[0]: rule.json_content for rule in loaded.local_answers}
    assert answers["/v1/token/auth_user"] == {"refreshToken": "sidekey-placeholder"}
    assert answers["/v1/token/auth_refresh"] == {"idToken": "sidekey-placeholder"}
    assert "discontinued" in presets()["jquants-v1"].description.lower()


def test_jquants_v1_takes_a_refresh_token_alone(upstream):
    loaded = upstream("jquants-v1", provider={"refresh_token": "${OTHER}"})
    assert sent(loaded).url.endswith("/token/auth_refresh?refreshtoken=other")


def test_jquants_v2_takes_403_for_a_bad_key_only_with_the_vendors_text(upstream):
    (rejection,) = upstream("jquants-v2").reject_on
    assert rejection.status == 403
    assert rejection.contains in "The incoming api key is invalid or expired."


def test_the_portals_two_keys_stay_in_order(upstream):
    loaded = upstream("fujitsu-portal-key")
    assert isinstance(loaded.provider, ApiKey)
    assert [key.reveal() for key in loaded.provider.keys] == [ENVIRON["SECRET"], "other"]
    assert [(rule.name, rule.format) for rule in loaded.inject] == [("X-Api-Key", "{token}")]


def test_moving_from_legacy_to_oauth2_is_one_changed_word(upstream):
    assert WRITTEN["fujitsu-portal-legacy"] == WRITTEN["fujitsu-portal-oauth2"]
    legacy, oauth2 = upstream("fujitsu-portal-legacy"), upstream("fujitsu-portal-oauth2")
    assert sent(legacy).url == f"{PORTAL}/auth/v1/tokens"
    assert sent(oauth2).url == f"{PORTAL}/auth/v2/tokens"
    assert legacy.inject == oauth2.inject
    assert legacy.inject[0].name == "X-Access-Token"


def test_a_secret_enters_a_preset_unchanged_whatever_it_holds(upstream):
    loaded = upstream("fujitsu-portal-legacy")
    assert json.loads(sent(loaded).content) == {
        "clientId": "me",
        "clientSecret": ENVIRON["SECRET"],
    }


def test_kabu_station_asks_for_a_token_and_wants_result_code_0(upstream):
    loaded = upstream("kabu-station")
    assert isinstance(loaded.provider, TokenEndpoint)
    request = sent(loaded)
    assert (request.method, request.url) == ("POST", "http://localhost:18080/kabusapi/token")
    assert json.loads(request.content) == {"APIPassword": ENVIRON["SECRET"]}
    assert loaded.provider.success.json_conditions == {"ResultCode": 0}


def test_a_token_endpoint_follows_a_changed_base_url(upstream):
    changed = {
        "fujitsu-portal-oauth2": "http://127.0.0.1:9000",
        "fujitsu-portal-legacy": "http://127.0.0.1:9000/da",
        "kabu-station": "http://127.0.0.1:9000/kabusapi",
        "jquants-v1": "http://127.0.0.1:9000/v1",
    }
    for name, base_url in changed.items():
        assert sent(upstream(name, base_url=base_url)).url.startswith("http://127.0.0.1:9000/")


def test_all_misskey_presets_differ_in_their_provider_only(upstream):
    loaded = [upstream(name) for name in ("misskey", "misskey-token", "misskey-app")]
    assert [type(one.provider) for one in loaded] == [MiAuth, ApiKey, MisskeyApp]
    for key in SHARED_MISSKEY:
        assert len({repr(getattr(one, key)) for one in loaded}) == 1


def test_misskey_puts_the_token_into_api_and_streaming_and_nowhere_else(upstream):
    rules = upstream("misskey").inject

    def places(path: str) -> set[str]:
        return {rule.place for rule in rules if matches(path, rule.paths)}

    assert places("/api/notes/create") == {"header", "body"}
    assert places("/streaming") == {"header", "query"}
    assert all(rule.paths for rule in rules)
    for path in ("/files/abc", "/", "/nodeinfo/2.1", "/apis", "/miauth/x"):
        assert places(path) == set()


def test_misskey_denies_what_hands_out_tokens_and_no_more(upstream):
    denied = [glob for rule in upstream("misskey").deny for glob in rule.paths]
    for endpoint in (
        "i/regenerate-token",
        "miauth/gen-token",
        "auth/accept",
        "auth/session/generate",
        "auth/session/userkey",
        "signin-flow",
    ):
        assert matches(f"/api/{endpoint}", denied)
    for endpoint in ("i", "notes/create", "app/create", "i/authorized-apps", "drive/files/create"):
        assert not matches(f"/api/{endpoint}", denied)


def test_a_client_that_does_miauth_itself_gets_a_placeholder(upstream):
    (answer,) = upstream("misskey").local_answers
    assert matches("/api/miauth/0c5e/check", answer.paths)
    assert answer.json_content["ok"] is True
    assert answer.json_content["token"] == "sidekey-placeholder"


def test_written_keys_win_mappings_are_merged_and_lists_are_replaced(upstream):
    loaded = upstream(
        "fujitsu-portal-legacy",
        reject_on=[400],
        provider={
            "client_id": "me",
            "client_secret": "${SECRET}",
            "lifetime": "30m",
            "request": {"headers": {"X-Extra": "1"}},
        },
    )
    assert [rejection.status for rejection in loaded.reject_on] == [400]
    assert loaded.provider.lifetime.total_seconds() == 1800
    assert loaded.provider.request.headers == {"X-Extra": "1"}
    assert sent(loaded).url == f"{PORTAL}/auth/v1/tokens"
    assert upstream("misskey", provider={"permission": []}).provider.permission == ()


def test_another_provider_type_replaces_that_of_the_preset(upstream):
    loaded = upstream("misskey", provider={"type": "api_key", "keys": "${OTHER}"})
    assert isinstance(loaded.provider, ApiKey)


def test_inputs_that_are_missing_empty_or_no_text_are_reported(issues):
    text = "upstreams:\n  a:\n    preset: {}\n    provider: {}\n"
    assert issues(text.format("fujitsu-portal-legacy", "{client_id: 5}")) == [
        "sidekey.yaml:4:5: upstreams.a.provider.client_secret: is required",
        "sidekey.yaml:4:16: upstreams.a.provider.client_id: expected text: put the value in quotes",
    ]
    assert issues(text.format("kabu-station", "{api_password: '${SECRET}'}"), {"SECRET": ""}) == [
        "sidekey.yaml:4:16: upstreams.a.provider.api_password: must not be empty"
    ]
    assert issues(text.format("kabu-station", "{api_pasword: '${OTHER}'}"), ENVIRON) == [
        (
            "sidekey.yaml:4:16: upstreams.a.provider.api_pasword: unknown key"
            " (did you mean 'api_password'?)"
        ),
    ]
    assert issues(text.format("misskey", "{}")) == [
        "sidekey.yaml:2:3: upstreams.a.base_url: is required"
    ]


@pytest.mark.parametrize("name", ["misskey-tokn", "", "../misskey", "MISSKEY"])
def test_an_unknown_preset_is_one_issue(name, issues):
    (issue,) = issues(f"upstreams:\n  a:\n    preset: '{name}'\n")
    assert issue.startswith("sidekey.yaml:3:5: upstreams.a.preset: unknown preset")
    assert ("(did you mean 'misskey-token'?)" in issue) == (name == "misskey-tokn")
