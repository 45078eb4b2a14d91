"""The catalogue: what is known of one API, and how it completes what the user wrote.

A preset is an upstream as in the configuration, with a description and `inputs`: the keys that
the user writes under `provider`. An input replaces `{name}` in the preset's provider; one that
stands nowhere as `{name}` is a key of the provider itself. `{origin}` is scheme, host and port of
the base URL, so that a token endpoint follows a changed base URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal

import yaml
from pydantic import Field, JsonValue

from proxy.config.issues import Issue, KeyPath
from proxy.nearest import did_you_mean
from proxy.notation import Frozen, Url, check_base_url, origin_of
from proxy.placeholders import fill, names

_OWN = ("description", "documentation", "inputs")  # of an entry that extends another one
_ABOUT = (*_OWN, "example")  # the keys that say something of the API, and configure nothing


class Input(Frozen):
    """One key that the user writes under `provider`."""

    description: str
    secret: bool = False


class Example(Frozen):
    """A request that works with every account and changes nothing; `path` follows base_url."""

    method: Literal["GET", "POST"] = "GET"
    path: str = Field(pattern=r"^/[!-&(-~]*$")  # no quote, so that any shell takes it
    content: JsonValue = Field(default=None, alias="json")


class Preset(Frozen):
    """One file of the catalogue; `upstream` holds the keys that it fills in."""

    description: str
    documentation: Url
    inputs: dict[str, Input] = Field(default_factory=dict)
    example: Example
    upstream: dict[str, JsonValue]

    @property
    def provider(self) -> Mapping[str, JsonValue]:
        """The provider that it fills in."""
        provider = self.upstream["provider"]
        assert isinstance(provider, dict)  # a test loads every entry
        return provider

    def placeholders(self) -> dict[str, Input]:
        """Return the inputs that stand as `{name}` in the provider; they cannot be left out."""
        used = names(self.provider)
        return {name: entry for name, entry in self.inputs.items() if name in used}


@dataclass(slots=True)
class Completion:
    """Fills in presets and collects what is wrong with their use.

    `secrets` holds the places of inputs that are secret.
    """

    issues: list[Issue] = field(default_factory=list)
    secrets: set[KeyPath] = field(default_factory=set)

    def complete(self, value: dict[str, object]) -> dict[str, object]:
        """Return the configuration with every preset filled in."""
        upstreams = value.get("upstreams")
        if not isinstance(upstreams, dict):
            return value
        completed = {name: self._upstream(entry, name) for name, entry in upstreams.items()}
        return value | {"upstreams": completed}

    def _upstream(self, written: object, name: str) -> object:
        path: KeyPath = ("upstreams", name)
        if not isinstance(written, dict) or not isinstance(written.get("preset"), str):
            return written
        preset = presets().get(written["preset"])
        if preset is None:
            hint = did_you_mean(written["preset"], presets())
            text = f"unknown preset{hint}; `sidekey presets` lists them"
            self.issues.append(Issue((*path, "preset"), text))
            return written
        provider = self._provider(preset, written, path)
        others = {key: entry for key, entry in preset.upstream.items() if key != "provider"}
        return {**merge(others, written), "provider": provider}

    def _provider(self, preset: Preset, written: dict[str, object], path: KeyPath) -> object:
        """Return the preset's provider with inputs filled in and the user's keys on top."""
        path = (*path, "provider")
        own = written.get("provider", {})
        if (
            not isinstance(own, dict)
            or own.get("type", preset.provider["type"]) != (preset.provider["type"])
        ):
            return own
        placeholders = preset.placeholders()
        self.secrets |= {(*path, key) for key, entry in preset.inputs.items() if entry.secret}
        inputs = {key: self._input(own, key, path) for key in placeholders}
        base_url = written.get("base_url", preset.upstream.get("base_url"))
        values = inputs | {"origin": _origin(base_url)}
        filled = {key: fill(entry, values) for key, entry in preset.provider.items()}
        return merge(filled, {key: own[key] for key in own if key not in placeholders})

    def _input(self, own: dict[str, object], key: str, path: KeyPath) -> str:
        """Return what was written for `{key}`, which stays as it is where that is nothing."""
        value = own.get(key)
        if isinstance(value, str) and value:
            return value
        if key not in own:
            self.issues.append(Issue((*path, key), "is required", tentative=True))
        elif isinstance(value, str):
            self.issues.append(Issue((*path, key), "must not be empty"))
        else:
            self.issues.append(Issue((*path, key), "expected text: put the value in quotes"))
        return f"{{{key}}}"  # an empty text would be refused once more, at a key that nobody wrote


@cache
def presets() -> dict[str, Preset]:
    """Return the catalogue, by name."""
    folder = resources.files("proxy") / "catalog"
    files = {
        entry.name.removesuffix(".yaml"): yaml.safe_load(entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    }
    return {name: _preset(files, name) for name in sorted(files)}


def _preset(files: Mapping[str, dict[str, JsonValue]], name: str) -> Preset:
    """Return one entry; `extends` names another one whose other keys it shares."""
    upstream = dict(files[name])
    base = upstream.pop("extends", None)
    if base is not None:
        shared = {key: entry for key, entry in files[str(base)].items() if key not in _OWN}
        upstream = shared | upstream
    own = {key: upstream.pop(key) for key in _ABOUT if key in upstream}
    return Preset.model_validate(own | {"upstream": upstream})


def merge(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return `above` laid over `below`: mappings are merged, everything else is replaced."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        lower, upper = below[key], above[key]
        if isinstance(lower, dict) and isinstance(upper, dict):
            merged[key] = merge(lower, upper)
    return merged


def _origin(base_url: object) -> str:
    """Return the origin of a base URL; a wrong one is reported elsewhere."""
    try:
        return origin_of(check_base_url(str(base_url)))
    except ValueError:
        return "http://invalid"
