"""The JSON Schema says the same as `load`, of the file as it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from proxy.config import json_schema, presets
from proxy.credentials.providers import AnyProvider

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


def test_the_schema_is_a_valid_schema_that_names_its_dialect():
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


def test_the_example_is_accepted(validator):
    assert list(validator.iter_errors(yaml.safe_load(EXAMPLE.read_text()))) == []


def test_the_example_loads_when_its_variables_are_set(load_text):
    environ = {
        name.rpartition("${")[2]: "x" * 40
        for name in EXAMPLE.read_text().split("}")
        if "${" in name
    }
    loaded = load_text(EXAMPLE.read_text(), environ, mode=0o644)
    assert loaded.warnings == ()
    assert "example" in loaded.settings.upstreams


def test_every_provider_type_and_preset_family_stands_in_the_example():
    upstreams = yaml.safe_load(EXAMPLE.read_text())["upstreams"].values()
    written = {entry["provider"].get("type") for entry in upstreams if "provider" in entry}
    union = AnyProvider.__origin__
    known = {arm.model_fields["type"].annotation.__args__[0] for arm in union.__args__}
    assert known <= written
    used = {entry["preset"].partition("-")[0] for entry in upstreams if "preset" in entry}
    assert used == {name.partition("-")[0] for name in presets()} - {"kabu"}


def upstream(**keys: object) -> dict[str, object]:
    return {"upstreams": {"a": keys}}


KEY = {"type": "api_key", "keys": "${KEY}"}
URL = "https://a.example"
ACCEPTED = [
    upstream(base_url=URL, provider=KEY),
    upstream(base_url="${BASE}", provider=KEY, port="${PORT}"),
    upstream(base_url=URL, provider=KEY, inject={"in": "query", "name": "key"}),
    upstream(base_url=URL, provider=KEY, reject_on=[401, {"status": 403, "contains": "x"}, "${S}"]),
    upstream(base_url=URL, provider=KEY, timeouts={"read": "1h30m"}),
    upstream(preset="jquants-v2", provider={"keys": ["a", "b"]}),
    upstream(preset="jquants-v1", provider={"refresh_token": "x"}, port=8081),
    upstream(preset="fujitsu-portal-legacy", provider={"client_id": "a", "client_secret": "b"}),
    upstream(
        preset="fujitsu-portal-legacy",
        provider={"client_id": "a", "client_secret": "b", "request": {"method": "PUT"}},
    ),
    upstream(preset="misskey", base_url=URL),
    upstream(preset="misskey", base_url=URL, provider=KEY),
    upstream(preset="misskey-token", base_url=URL, provider={"token": "${T}"}),
    {"listen": {"port": "${PORT}"}, **upstream(preset="misskey", base_url=URL)},
]
REFUSED = [
    {},
    {"upstreams": {}},
    {"listn": {}, **upstream(base_url=URL, provider=KEY)},
    {"listen": {"port": 70000}, **upstream(base_url=URL, provider=KEY)},
    {"store": {"type": "reddis"}, **upstream(base_url=URL, provider=KEY)},
    {"upstreams": {"Bad_Name": {"base_url": URL, "provider": KEY}}},
    upstream(base_url=URL),
    upstream(provider=KEY),
    upstream(base_url="ftp://a", provider=KEY),
    upstream(base_url=URL, provider=KEY, prot=1),
    upstream(base_url=URL, provider={"type": "api_key"}),
    upstream(base_url=URL, provider={"type": "apikey", "keys": "x"}),
    upstream(base_url=URL, provider={"keys": "x"}),
    upstream(base_url=URL, provider=KEY, inject={"in": "headr", "name": "x"}),
    upstream(base_url=URL, provider=KEY, reject_on=["never"]),
    upstream(base_url=URL, provider=KEY, timeouts={"read": "soon"}),
    upstream(preset="nothing", base_url=URL, provider=KEY),
    upstream(preset="jquants-v2"),
    upstream(preset="jquants-v2", provider={"key": "x"}),
    upstream(preset="fujitsu-portal-legacy", provider={"client_id": "a"}),
    upstream(preset="misskey"),
    upstream(preset="misskey-token", base_url=URL, provider={"tokn": "x"}),
    upstream(preset="misskey", base_url=URL, provider={"type": "api_key"}),
]


@pytest.mark.parametrize("number", range(len(ACCEPTED)))
def test_what_loads_is_accepted(number, validator, load_text):
    written = ACCEPTED[number]
    assert list(validator.iter_errors(written)) == []
    environ = {"KEY": "k", "BASE": URL, "PORT": "9000", "S": "401", "T": "t"}
    assert load_text(json.dumps(written), environ)


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_does_not_load_is_refused(number, validator, issues):
    written = REFUSED[number]
    assert not validator.is_valid(written)
    assert issues(json.dumps(written), {"KEY": "k"})


def test_every_key_of_the_file_and_of_an_upstream_is_described():
    schema = json_schema()
    definitions = schema["$defs"]

    def description(entry: dict[str, object]) -> object:
        reference = str(entry.get("$ref", "")).rpartition("/")[2]
        return entry.get("description") or definitions.get(reference, {}).get("description")

    for section in ("UpstreamSpelledOut", "Listen", "Store", "Timeouts", "AccessRule"):
        properties = definitions[section]["properties"] | schema["properties"]
        assert [name for name, entry in properties.items() if not description(entry)] == []


def test_defaults_are_written_as_in_the_file():
    definitions = json_schema()["$defs"]
    assert definitions["Timeouts"]["properties"]["read"]["default"] == "5m"
    assert definitions["JQuants"]["properties"]["id_token_lifetime"]["default"] == "23h"
    assert definitions["Listen"]["properties"]["port"]["default"] == 8080
