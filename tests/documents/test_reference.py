"""The reference of the configuration is what the models say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from command_line import ROOT, Home
from pydantic import BaseModel

from proxy.config import presets, reference
from proxy.config.models import Settings
from proxy.config.shapes import key_of

COMMITTED = ROOT / "proxy" / "documents" / "configuration.md"


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a value of this type may be or hold."""
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif origin is Annotated:
        yield from models_in(get_args(annotation)[0])
    elif origin in (Union, UnionType, tuple, dict):
        for argument in get_args(annotation):
            yield from models_in(argument)


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the path of each key; those of an upstream begin anew."""
    for name, entry in model.model_fields.items():
        key = prefix + key_of(model, name)
        yield key
        for inner in models_in(entry.annotation):
            yield from keys_of(inner, "" if key == "upstreams" else f"{key}.")


KEYS = sorted(set(keys_of(Settings)))


def test_the_committed_reference_is_what_the_models_say() -> None:
    assert COMMITTED.read_text() == reference(), (
        "run: sidekey schema --markdown > proxy/documents/configuration.md"
    )


async def test_the_command_prints_the_reference(home: Home) -> None:
    ended = await home.run("schema", "--markdown")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == COMMITTED.read_text()


def test_many_keys_were_found() -> None:
    assert len(KEYS) > 80
    assert {"listen.timeouts.idle", "provider.request.auth.basic", "inject.max_size"} <= set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_stands_in_the_reference_with_what_it_takes_and_what_it_is(key: str) -> None:
    row = rf"^\| `{re.escape(key)}` \| (.*) \| (.*) \| (.*) \|$"
    rows = re.findall(row, reference(), re.MULTILINE)
    assert rows, key
    for takes, _, said in rows:
        assert takes.strip(), key
        assert said.strip(), f"{key} has no docstring"


def test_every_key_is_in_the_section_of_each_model_that_has_it() -> None:
    """Such as `paths`, which five kinds of rules have."""
    assert len(re.findall(r"^\| `inject\.paths` ", reference(), re.MULTILINE)) == 5
    assert len(re.findall(r"^\| `provider\.type` ", reference(), re.MULTILINE)) == 6


def test_defaults_are_written_as_in_the_file_and_secrets_are_named() -> None:
    text = reference()
    assert "| `provider.id_token_lifetime` | duration | `23h` |" in text
    assert "| `listen.port` | whole number from 0 to 65535 | `8080` |" in text
    assert "| `provider.client_secret` | secret | **required** |" in text
    assert "| `limits.content` | size |" in text
    assert '| `reject_on` | list: status or the keys below | `[{"status": 401}]` |' in text


def test_every_preset_stands_in_it() -> None:
    for name in presets():
        assert f"\n| `{name}` | " in reference()
