"""No secret shows in what is told of the configuration in effect, and no value is left out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import keyring
import pytest
import yaml
from canaries import canary, holds_canary
from config_fixtures import effective, write_secret
from keyring.backend import KeyringBackend
from pydantic import BaseModel

from proxy.config import Loaded, load
from proxy.config.models import Settings
from proxy.config.presets import presets
from proxy.config.shapes import key_of, shapes
from proxy.credentials.secret import MASK, Secret


def with_secrets(make: Any) -> dict[str, object]:
    """A configuration in which `make(slot)` stands in every place that is for a secret."""
    endpoint = "https://a.example/token"
    own = {
        "key": {"type": "api_key", "keys": [make("keys"), make("more-keys")]},
        "jquants": {
            "type": "jquants",
            "mailaddress": make("mailaddress"),
            "password": make("password"),
            "refresh_token": make("refresh"),
        },
        "oauth": {
            "type": "oauth2_client_credentials",
            "token_url": endpoint,
            "client_id": "me",
            "client_secret": make("client-secret"),
            "extra_params": {"assertion": make("extra")},
        },
        "endpoint": {
            "type": "token_endpoint",
            "request": {
                "url": endpoint,
                "auth": {"basic": [make("id"), make("secret")]},
                "headers": {"X-Any": make("header")},
                "query": {"any": make("query")},
                "json": {"any": {"deep": [make("json"), 1]}},
            },
            "renewal": {"url": endpoint, "form": {"any": make("form")}},
        },
        "app": {"type": "misskey_app", "app_secret": make("app-secret")},
    }
    rules = [
        {"in": "header", "name": "X-Fixed", "format": make("fixed")},
        {"in": "header", "name": "X-Both", "format": "{token}." + make("both")},
    ]
    base = {"base_url": "https://a.example", "inject": rules}
    return {
        "clients": {"header": {"value": make("client")}, "keys": [make("phantom")]},
        "store": {"type": "redis", "url": f"rediss://{make('redis')}@r/0", "key": make("store")},
        "upstreams": {name: base | {"provider": provider} for name, provider in own.items()}
        | {f"preset-{name}": with_preset(name, make) for name in presets()},
    }


def with_preset(name: str, make: Any) -> dict[str, object]:
    inputs = {
        key: make(f"{name[-9:]}-{key[:9]}") if entry.secret else "plain"
        for key, entry in presets()[name].inputs.items()
    }
    return {"preset": name, "base_url": "https://a.example/v1", "provider": inputs}


class Kept(KeyringBackend):
    """A keyring that holds a canary for everybody."""

    priority = 5.0

    def get_password(self, service: str, username: str) -> str | None:
        return canary(username[:20])

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


@pytest.fixture
def own_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(Kept())
    yield
    keyring.set_keyring(before)


KINDS = {
    "literal": "{secret}",
    "variable": "${{{variable}}}",
    "default": "${{NOT_SET:-{secret}}}",
    "message": "${{{variable}:?is needed}}",
    "file": "${{file:{slot}}}",
    "credential": "${{credential:{slot}}}",
    "keyring": "${{keyring:service/{slot}}}",
    "exec": "${{exec:cat {slot}}}",
    "between": "a-{secret}-${{{variable}}}",
}


def load_secrets(kind: str, folder: Path) -> Loaded:
    environ = {"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": str(folder)}

    def make(slot: str) -> str:
        secret, variable = canary(slot), slot.upper().replace("-", "_")
        environ[variable] = secret
        write_secret(folder / slot, secret)
        return KINDS[kind].format(secret=secret, variable=variable, slot=slot)

    path = folder / "sidekey.yaml"
    path.write_text(yaml.safe_dump(with_secrets(make), sort_keys=False))
    path.chmod(0o600)
    return load(path, environ=environ)


@pytest.mark.usefixtures("own_keyring")
@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_of_any_kind_is_told(kind, tmp_path):
    loaded = load_secrets(kind, tmp_path)
    found = effective(loaded)
    assert len([value for value, _ in found.values() if value == MASK]) >= 25
    assert not holds_canary(json.dumps(loaded.effective.members()))
    assert not holds_canary(repr(loaded.effective))


def secret_fields(model: type[BaseModel]) -> Iterator[tuple[type, str]]:
    """Every field below `model` that takes a `Secret`, and those kept out of `repr`."""
    for name, field in model.model_fields.items():
        parts = list(parts_of(field.annotation))
        if Secret in parts or not field.repr:
            yield model, key_of(model, name)
        for part in parts:
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from secret_fields(part)


def parts_of(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from parts_of(argument)


def test_the_secrets_of_these_tests_stand_in_every_field_that_takes_one():
    value = with_secrets(lambda slot: f"made-up-{slot}")
    models = dict(shapes(value, Settings))
    names = {(kind, key) for path, kind in models.items() for key in keys_at(value, path)}
    missing = {
        (model.__name__, key) for model, key in secret_fields(Settings) if (model, key) not in names
    }
    # `format` of the other injectors is that of Header.
    assert {name for name in missing if name[1] != "format"} == set()
    assert ("Header", "format") not in missing


def keys_at(value: Any, path: tuple[str | int, ...]) -> list[str]:
    for part in path:
        value = value[part]
    return list(value) if isinstance(value, dict) else []


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}".removeprefix("."))
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path


def test_every_value_of_the_settings_is_told_once(tmp_path):
    loaded = load_secrets("variable", tmp_path)
    wanted = list(leaves(loaded.settings.model_dump(by_alias=True)))
    told = [
        path if value in ([], {}) else leaf
        for path, (value, _) in effective(loaded).items()
        for leaf in ([path] if value in ([], {}) else leaves(value, path))
    ]
    assert sorted(told) == sorted(wanted)
    assert len(told) > 500


def test_every_preset_tells_what_it_fills_in(tmp_path):
    found = effective(load_secrets("variable", tmp_path))
    for name in presets():
        told = [origin for path, (_, origin) in found.items() if f".preset-{name}." in path]
        assert {"kind": "preset", "preset": name} in told
