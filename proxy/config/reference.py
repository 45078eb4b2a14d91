"""The reference of the configuration, as Markdown, made from the models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from proxy.config.models import Settings
from proxy.config.presets import Preset, presets
from proxy.config.schema import Schema, default_text
from proxy.notation import BaseUrl, Duration, Rate, Size, Status

_BEGINNING = """\
# Configuration

Every key of the configuration, what it takes, and what holds without it.
This page is made from the models that read the file: `sidekey schema --markdown` prints it.
[config.example.yaml](../../config.example.yaml) shows the keys at work.
`sidekey schema` prints a JSON Schema for editors, and `sidekey check` tells every mistake with its
line and column.

The file is the first that is found of `--config`, `$SIDEKEY_CONFIG`, `./sidekey.yaml`,
`./config.yaml`, `$XDG_CONFIG_HOME/sidekey/config.yaml` and `/etc/sidekey/config.yaml`.
`--host`, `--port` and `--unix-socket` win over `SIDEKEY_HOST`, `SIDEKEY_PORT` and
`SIDEKEY_UNIX_SOCKET`, and these over the file.

| notation | examples |
| --- | --- |
| duration | `500ms`, `90s`, `5m`, `24h`, `7d`, `1h30m` |
| size | `64KiB`, `10MB`, `65536` |
| rate | `10/s`, `120/m`, `1000/h` |
| glob | `/v1/users`, `/v1/*/notes` (one segment), `/v1/**` (any number of them) |
| secret | text; better a reference than the text itself |

| reference | stands for |
| --- | --- |
| `${VAR}`, `${VAR:-default}`, `${VAR:?message}` | an environment variable |
| `${file:/path}` | a file that nobody else can read; its path is relative to this one |
| `${credential:name}` | a credential of systemd (`LoadCredential=`), or `/run/secrets/name` |
| `${keyring:service/user}` | an entry of the system's keyring (extra `keyring`) |
| `${exec:program arguments}` | what a program prints; no shell reads the command |
| `$$` | a dollar sign |
"""
_PRESETS = """\
## Presets

A preset fills in all that is known of an API; every key may be overridden.
`sidekey presets` lists them, `sidekey presets NAME` shows one as a whole.

| `preset` | for | `base_url` | keys under `provider` |
| --- | --- | --- | --- |
"""
_UPSTREAMS = "upstreams"
_BELOW_UPSTREAMS = """\
The paths from here on begin below the name of an upstream.
With a `preset`, what it fills in is not required.
"""
_TITLES = {  # of the sections whose path needs words
    _UPSTREAMS: "`upstreams.NAME`: an API, by its name",
    "provider": "`provider`: how a token is obtained",
    "inject": "`inject`: where a token goes",
}
_TAGS = {"provider": "type", "inject": "in"}  # the key that chooses among several shapes
_WORDS = [
    (TypeAdapter(kind).json_schema(), word)
    for kind, word in (
        (Duration, "duration"),
        (Size, "size"),
        (Rate, "rate"),
        (BaseUrl, "URL"),
        (Status, "status"),
    )
]


def reference() -> str:
    """Return the whole page."""
    schema = Settings.model_json_schema(by_alias=True)
    pages = _Pages(schema["$defs"])
    return "\n".join([_BEGINNING, *pages.section("", schema, 1), _PRESETS + _preset_rows()])


class _Pages:
    """Writes sections; `definitions` are the shapes that they refer to."""

    def __init__(self, definitions: Schema) -> None:
        self._definitions = definitions

    def section(self, path: str, schema: Schema, level: int) -> Iterator[str]:
        """Yield a table of the keys of one shape at `path`, then the sections below it."""
        # The key that chooses the shape comes first, also before those of a base class.
        properties = dict(
            sorted(schema["properties"].items(), key=lambda one: "const" not in one[1])
        )
        required = schema.get("required", [])
        yield _paragraph(schema["description"])
        yield "| key | takes | without it | |\n| --- | --- | --- | --- |"
        for key, entry in properties.items():
            yield self._row(_below(path, key), entry, is_required=key in required)
        yield ""
        for key, entry in properties.items():
            yield from self._sections_below(_below(path, key), entry, level + 1)

    def _sections_below(self, path: str, entry: Schema, level: int) -> Iterator[str]:
        shapes = self._shapes(entry)
        if not shapes:
            return
        yield f"{_heading(path, level)}\n"
        if path == _UPSTREAMS:
            yield _BELOW_UPSTREAMS
            yield from self.section("", shapes[0], level)
        elif len(shapes) == 1:
            yield from self.section(path, shapes[0], level)
        else:
            yield from self._choices(path, shapes, level + 1)

    def _choices(self, path: str, shapes: list[Schema], level: int) -> Iterator[str]:
        tag = _TAGS[path]
        for shape in shapes:
            chosen = shape["properties"][tag]["const"]
            yield f"{'#' * level} `{path}` with `{tag}: {chosen}`\n"
            yield from self.section(path, shape, level)

    def _row(self, path: str, entry: Schema, *, is_required: bool) -> str:
        said = _cell(self._resolved(entry).get("description", ""))
        default = "**required**" if is_required else _default(entry)
        return f"| `{path}` | {_cell(self._takes(entry))} | {default} | {said} |"

    def _takes(self, entry: Schema) -> str:
        """Return in words what a key takes."""
        entry = _required(entry)
        for known, word in _WORDS:
            if entry == known:
                return word
        if "$ref" in entry:
            return self._takes(self._resolved(entry))
        if "anyOf" in entry:
            return _either([self._takes(one) for one in entry["anyOf"]])
        if "properties" in entry or "oneOf" in entry:
            return "the keys below"
        if entry.get("type") == "array":
            return self._list(entry)
        if entry.get("type") == "object":
            return self._mapping(entry)
        return _scalar(entry)

    def _list(self, entry: Schema) -> str:
        if "prefixItems" in entry:
            return f"list of {len(entry['prefixItems'])}: {self._takes(entry['prefixItems'][0])}"
        return f"list: {self._takes(entry['items'])}"

    def _mapping(self, entry: Schema) -> str:
        """Return in words what stands behind the keys, which are the user's own."""
        [values] = entry.get("patternProperties", {"": entry.get("additionalProperties")}).values()
        return f"mapping: {self._takes(values)}"

    def _shapes(self, entry: Schema) -> list[Schema]:
        """Return the shapes with keys of their own that `entry` may have."""
        found = self._resolved(entry)
        if "properties" in found:
            return [found]
        if "oneOf" in found:
            return [self._resolved(one) for one in found["oneOf"]]
        inner = [*found.get("anyOf", []), *found.get("patternProperties", {}).values()]
        inner += [found["items"]] if "items" in found else []
        for one in inner:
            if shapes := self._shapes(one):
                return shapes
        return []

    def _resolved(self, entry: Schema) -> Schema:
        if "$ref" not in entry:
            return entry
        own = {key: value for key, value in entry.items() if key != "$ref"}
        return {**self._definitions[entry["$ref"].rpartition("/")[2]], **own}


def _required(entry: Schema) -> Schema:
    """Return the shape of a value that is there, without what is told elsewhere."""
    bare = {key: entry[key] for key in entry if key not in ("description", "title", "default")}
    some = [one for one in bare.get("anyOf", []) if one != {"type": "null"}]
    if len(some) == 1:
        return _required(some[0])
    return {**bare, "anyOf": some} if some else bare


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _heading(path: str, level: int) -> str:
    return f"{'#' * level} {_TITLES.get(path, f'`{path}`')}"


def _either(words: list[str]) -> str:
    """Return `X or a list of them` in place of `X or list: X`."""
    if len(words) == 2 and words[1] == f"list: {words[0]}":
        return f"{words[0]}, or a list of them"
    return " or ".join(dict.fromkeys(words))


def _scalar(entry: Schema) -> str:
    if "const" in entry:
        return f"`{entry['const']}`"
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "type" not in entry:
        return "any value"
    if entry.get("type") == "boolean":
        return "`true`, `false`"
    if entry.get("type") == "integer":
        return f"whole number{_range(entry)}"
    if entry.get("writeOnly"):
        return "secret"
    return "path" if entry.get("format") == "path" else "text"


def _range(entry: Schema) -> str:
    least = entry.get("minimum", entry.get("exclusiveMinimum", -1) + 1)
    return f" from {least}" + (f" to {entry['maximum']}" if "maximum" in entry else "")


def _default(entry: Schema) -> str:
    """Return what holds without the key; of a shape, that is told by its own keys."""
    default: Any = entry.get("default")
    if default is None or default in ([], {}) or "$ref" in entry:
        return ""
    if isinstance(default, str) and re.fullmatch(r"P[\dT].*", default):
        return f"`{default_text(default)}`"
    if isinstance(default, str):
        return f"`{default}`"
    return f"`{json.dumps(_told(default), ensure_ascii=False)}`"


def _told(default: Any) -> Any:
    """Return a default without the keys that say nothing."""
    if isinstance(default, list):
        return [_told(item) for item in default]
    if isinstance(default, dict):
        return {key: value for key, value in default.items() if value is not None}
    return default


def _preset_rows() -> str:
    return "".join(_preset_row(name, preset) for name, preset in presets().items())


def _preset_row(name: str, preset: Preset) -> str:
    base_url = preset.upstream.get("base_url")
    inputs = "; ".join(f"`{key}`: {entry.description}" for key, entry in preset.inputs.items())
    cells = (
        f"`{name}`",
        f"{preset.description} [Document]({preset.documentation})",
        f"`{base_url}`" if base_url else "**required**",
        inputs or "none: `sidekey login NAME`",
    )
    return f"| {' | '.join(map(_cell, cells))} |\n"


def _paragraph(text: str) -> str:
    return " ".join(text.split()) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
