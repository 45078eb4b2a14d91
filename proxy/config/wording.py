"""What pydantic found, in plain words and at the place where people wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from proxy.config.issues import Issue, KeyPath, written
from proxy.config.models import Upstream
from proxy.config.presets import presets
from proxy.config.shapes import key_of, shapes
from proxy.credentials.providers import AnyProvider
from proxy.nearest import did_you_mean, nearest

_Models = Mapping[KeyPath, type[BaseModel] | None]
_TAG_KEYS = ("type", "in")
_TEXTS = {
    "missing": "is required",
    "union_tag_not_found": "is required",
    "string_type": "expected text: put the value in quotes",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "model_type": "expected keys with values",
    "dict_type": "expected keys with values",
    "model_attributes_type": "expected keys with values",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a whole number",
    "int_from_float": "expected a whole number",
    "finite_number": "expected a whole number",
    "path_type": "expected a path",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "too_long": "has more than {max_length} entries",
    "string_pattern_mismatch": "must match {pattern}",
    "string_unicode": "holds characters that are no text",
}


def issues_of(
    error: ValidationError, value: dict[str, object], model: type[BaseModel], below: KeyPath = ()
) -> Iterator[Issue]:
    """Yield what is wrong with `value`, which did not validate as `model`.

    It stands `below` a place of the file.
    """
    found = shapes(value, model)
    models = {path: kind for path, kind in found if issubclass(kind, BaseModel)}
    for entry in _telling(error):
        issue = _issue(entry, value, models)
        meant = None if issue.meant is None else (*below, *issue.meant)
        yield replace(issue, path=(*below, *issue.path), meant=meant)


def _telling(error: ValidationError) -> list[ErrorDetails]:
    """Return the errors without those that pydantic adds to another one."""
    # A Secret may be text too, which has an error of its own.
    found = [
        entry
        for entry in error.errors(include_url=False, include_input=False)
        if entry["type"] != "is_instance_of"
    ]
    # A list whose entries are wrong is called too short as well.
    lists = {entry["loc"][:end] for entry in found for end in range(len(entry["loc"]))}
    return [entry for entry in found if entry["type"] != "too_short" or entry["loc"] not in lists]


def _written_path(entry: ErrorDetails, value: object) -> KeyPath:
    """Return the place in the file: without tags of unions, and ending at the tag if it is wrong.

    Pydantic puts the tag after the place of a tagged union (`provider.jquants.password`), an index
    into a list that was written as its only item, and `[key]` after a key that is wrong itself.
    """
    path: list[str | int] = []
    untagged = True
    for part in entry["loc"]:
        if isinstance(value, dict) and isinstance(part, str):
            if untagged and part in [value.get(key) for key in _TAG_KEYS]:
                untagged = False
                continue
            path.append(part)
            value = value.get(part)
            untagged = True
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            path.append(part)
            value = value[part]
            untagged = True
    if entry["type"].startswith("union_tag"):
        path.append(entry["ctx"]["discriminator"].split("'")[-2])  # "'place' | 'in'": name, alias
    if path and path[-1] == "[key]":
        path.pop()
    return tuple(path)


def _issue(entry: ErrorDetails, value: object, models: _Models) -> Issue:
    kind, path = entry["type"], _written_path(entry, value)
    if kind == "extra_forbidden":
        return _unknown_key(path, _known_keys(path[:-1], value, models))
    if kind == "union_tag_not_found":
        # Pydantic does not look at the other keys then; none that it knows is like a tag.
        misspelt = nearest(path[-1], _keys_at(value, path[:-1]))
        if misspelt is not None:
            return _unknown_key((*path[:-1], misspelt), {str(path[-1]): path[-1:]})
    is_whole = kind == "value_error" and path in models  # such as "needs methods or paths"
    tentative = is_whole or kind in ("missing", "union_tag_not_found")
    return Issue(path, _text(entry, path, value), tentative=tentative)


def _unknown_key(path: KeyPath, known: Mapping[str, KeyPath]) -> Issue:
    """Return the issue; a preset may know more keys of a provider."""
    place, key = path[:-1], path[-1]
    near = nearest(key, known)
    if near is None:
        is_of_provider = len(place) == 3 and (place[0], place[2]) == ("upstreams", "provider")
        return Issue(path, "unknown key", tentative=is_of_provider)
    text = f"unknown key (did you mean '{written(known[near])}'?)"
    return Issue(path, text, meant=(*place, *known[near]))


def _text(entry: ErrorDetails, path: KeyPath, value: object) -> str:
    kind, ctx = entry["type"], entry.get("ctx", {})
    if kind == "value_error":
        return _plain(str(ctx["error"]))
    if kind == "missing" and isinstance(entry["loc"][-1], int):
        return f"needs an entry number {entry['loc'][-1] + 1}"
    if kind in ("union_tag_invalid", "literal_error"):
        expected = str(ctx.get("expected_tags", ctx.get("expected", "")))
        known = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
        return f"expected one of {', '.join(known)}" + did_you_mean(_at(value, path), known)
    if kind in _TEXTS:
        return _TEXTS[kind].format_map(ctx)
    return entry["msg"].replace("Input should be", "expected").replace("valid ", "")


def _known_keys(path: KeyPath, value: object, models: _Models) -> dict[str, KeyPath]:
    """Return the keys that are known at `path`, and where each of them may stand below it.

    Those of a provider are known beside it too, since they are easily written there.
    """
    known: dict[str, KeyPath] = {}
    model = models.get(path)
    if model is Upstream:
        flat = dict(shapes(_at(value, path), AnyProvider)).get(())
        below = _known_keys((*path, "provider"), value, {(*path, "provider"): flat, **models})
        known |= {key: ("provider", *place) for key, place in below.items()}
    if model is not None:
        known |= {key: (key,) for key in (key_of(model, name) for name in model.model_fields)}
    preset = presets().get(str(_at(value, (*path[:-1], "preset"))))
    if path[-1:] == ("provider",) and preset is not None:
        known |= {key: (key,) for key in preset.inputs}
    return known


def _keys_at(value: object, path: KeyPath) -> list[str]:
    found = _at(value, path)
    return list(found) if isinstance(found, dict) else []


def _at(value: Any, path: KeyPath) -> object:
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _plain(text: str) -> str:
    """Return a message without the value: urllib quotes what stands after the last colon."""
    if text.startswith("Port "):
        return "the port of a URL is a number up to 65535"
    return "this is no URL" if "IPv" in text else text
