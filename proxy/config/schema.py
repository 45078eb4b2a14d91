"""The JSON Schema of the configuration as it is written: with presets and `${...}`.

It is made from the models. What JSON Schema cannot say (two upstreams on one port) is left to
`sidekey check`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from proxy.config.models import Settings
from proxy.config.presets import Preset, presets
from proxy.notation import duration_text

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Schema = {"type": "string", "pattern": r"\$\{", "description": "a reference: ${...}"}
_VERBATIM = ("default", "required", "if")
_CONSTRAINTS = ("pattern", "enum", "format")
_DURATION = TypeAdapter(timedelta)
_ISO_DURATION = re.compile(r"P[\dT].*")


def json_schema() -> dict[str, Any]:
    """Return a JSON Schema (draft 2020-12) for the file, references not yet resolved."""
    schema = Settings.model_json_schema(by_alias=True)
    definitions: Schema = schema["$defs"]
    spelled_out: Schema = definitions.pop("Upstream")
    schema["properties"]["upstreams"]["additionalProperties"] = False  # only names that match
    definitions["UpstreamSpelledOut"] = spelled_out
    definitions["Upstream"] = _upstream(definitions, spelled_out)
    titled = {"$schema": DIALECT, **schema, "title": "sidekey configuration"}
    referring = _with_references(titled)
    assert isinstance(referring, dict)  # a mapping stays one
    return referring


def _upstream(definitions: Schema, spelled_out: Schema) -> Schema:
    """Return the schema of an upstream, chosen by its preset."""
    cases = [
        {
            "if": {"properties": {"preset": {"const": name}}, "required": ["preset"]},
            "then": _with_preset(definitions, spelled_out, preset),
        }
        for name, preset in presets().items()
    ]
    return {
        "type": "object",
        "properties": {"preset": {"enum": list(presets())}},
        "if": {"required": ["preset"]},
        "then": {"allOf": cases},
        "else": {"$ref": "#/$defs/UpstreamSpelledOut"},
    }


def _with_preset(definitions: Schema, spelled_out: Schema, preset: Preset) -> Schema:
    """Return the schema of an upstream with a preset: what it brings is not required."""
    own_type = _tagged(definitions, spelled_out["properties"]["provider"], preset)
    required_inputs = [
        *preset.placeholders(),
        *(key for key in own_type["required"] if key not in preset.provider),
    ]
    provider = _partial(definitions, own_type)
    provider["required"] = required_inputs
    provider["properties"] |= {
        name: {"type": "string", "minLength": 1, "description": entry.description}
        for name, entry in preset.placeholders().items()
    }
    needed = [key for key in ("base_url",) if key not in preset.upstream]
    return {
        **spelled_out,
        "description": preset.description,
        "properties": {
            **spelled_out["properties"],
            "provider": _unless_replaced(provider, spelled_out["properties"]["provider"]),
            "timeouts": _partial(definitions, spelled_out["properties"]["timeouts"]),
        },
        "required": needed + (["provider"] if required_inputs else []),
    }


def _tagged(definitions: Schema, union: Schema, preset: Preset) -> Schema:
    """Return the member of a tagged union that the preset's provider is."""
    reference = union["discriminator"]["mapping"][preset.provider["type"]]
    return _resolved(definitions, {"$ref": reference})


def _unless_replaced(provider: Schema, union: Schema) -> Schema:
    """Return `provider`, or the whole union where another type is written."""
    own_type = {"type": {"const": provider["properties"]["type"]["const"]}}
    return {"if": {"properties": own_type}, "then": provider, "else": union}


def _resolved(definitions: Schema, schema: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    target = definitions[schema["$ref"].rpartition("/")[2]]
    return {**target, **{key: entry for key, entry in schema.items() if key != "$ref"}}


def _partial(definitions: Schema, schema: Schema) -> Schema:
    """Return a copy in which no key is required: the user's keys are laid over the preset's."""
    found = _resolved(definitions, schema)
    copy = {key: entry for key, entry in found.items() if key != "required"}
    if "properties" in copy:
        properties = copy["properties"].items()
        copy["properties"] = {key: _partial(definitions, entry) for key, entry in properties}
    if "anyOf" in copy:
        copy["anyOf"] = [_partial(definitions, entry) for entry in copy["anyOf"]]
    return copy


def _with_references(schema: Any) -> Any:
    """Return the schema with `${...}` allowed for every number and every restricted text."""
    if isinstance(schema, list):
        return [_with_references(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:  # the defaults of a section are those of its keys
        return {key: entry for key, entry in schema.items() if key != "default"}
    if _is_narrow_scalar(schema):
        outer = {key: schema[key] for key in ("description", "default") if key in schema}
        inner = {key: entry for key, entry in schema.items() if key not in outer}
        if _ISO_DURATION.fullmatch(str(outer.get("default"))):
            outer["default"] = default_text(outer["default"])
        return {**outer, "anyOf": [inner, _REFERENCE]}
    return {
        key: entry if key in _VERBATIM else _with_references(entry) for key, entry in schema.items()
    }


def default_text(default: str) -> str:
    """Return a default such as PT23H (pydantic's notation) as it is written in the file: 23h."""
    return duration_text(_DURATION.validate_python(default))


def _is_narrow_scalar(schema: Schema) -> bool:
    if schema.get("type") in ("integer", "number", "boolean"):
        return True
    return schema.get("type") == "string" and any(key in schema for key in _CONSTRAINTS)
