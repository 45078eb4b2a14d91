"""What pydantic found, in plain words and at the place where people wrote it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from proxy.config.issues import Issue, KeyPath, lies_below
from proxy.config.shapes import shapes
from proxy.config.slips import Models, misplaced, nameless, slip, unknown_key, value_at
from proxy.nearest import did_you_mean, nearest

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
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a whole number",
    "path_type": "expected a path",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "greater_than": "must be more than {gt:.10g}",
    "greater_than_equal": "must be {ge:.10g} or more",
    "less_than_equal": "must be {le:.10g} or less",
    "too_long": "has more than {max_length} entries",
    "string_pattern_mismatch": "must match {pattern}",
    "string_unicode": "holds characters that are no text",
}


def issues_of(
    error: ValidationError, value: dict[str, object], model: type[BaseModel]
) -> Iterator[Issue]:
    """Yield what is wrong with `value`, which did not validate as `model`."""
    found = shapes(value, model)
    models = {path: kind for path, kind in found if issubclass(kind, BaseModel)}
    slips = list(nameless(value, models))
    yield from slips
    places = {issue.path for issue in slips}
    for entry in _telling(error):
        issue = _issue(entry, value, models)
        if lies_below(issue.path, places):
            continue
        yield issue
        if entry["type"] == "union_tag_not_found":  # pydantic does not look at the other keys then
            yield from misplaced(issue.path[:-1], value, models)


def text_of(error: ValidationError) -> str:
    """Return what is wrong with a value that stands in no file, such as that of an option."""
    entry, *_ = error.errors(include_url=False, include_input=False)
    return _text(entry, (), None)


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
    if path and path[-1] == "[key]" and entry["type"] != "extra_forbidden":
        path.pop()
    return tuple(path)


def _issue(entry: ErrorDetails, value: object, models: Models) -> Issue:
    kind, path = entry["type"], _written_path(entry, value)
    if kind == "extra_forbidden":
        return unknown_key(path, value, models)
    if kind == "union_tag_not_found":
        # No key that pydantic knows is like a tag.
        beside = value_at(value, path[:-1])
        misspelt = nearest(path[-1], beside if isinstance(beside, dict) else ())
        if misspelt is not None:
            return slip((*path[:-1], misspelt), [path])
    is_of_a_key = entry["loc"][-1:] == ("[key]",)
    # A whole is wrong, such as "needs methods or paths".
    is_whole = kind == "value_error" and path in models and not is_of_a_key
    tentative = is_whole or kind in ("missing", "union_tag_not_found")
    return Issue(path, _text(entry, path, value), tentative=tentative)


def _text(entry: ErrorDetails, path: KeyPath, value: object) -> str:
    kind, ctx = entry["type"], entry.get("ctx", {})
    if kind == "value_error":
        return _plain(str(ctx["error"]))
    if kind == "missing" and isinstance(entry["loc"][-1], int):
        return f"needs an entry number {entry['loc'][-1] + 1}"
    if kind in ("union_tag_invalid", "literal_error"):
        expected = str(ctx.get("expected_tags", ctx.get("expected", "")))
        known = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
        return f"expected one of {', '.join(known)}" + did_you_mean(value_at(value, path), known)
    if kind in _TEXTS:
        return _TEXTS[kind].format_map(ctx)
    return entry["msg"].replace("Input should be", "expected").replace("valid ", "")


def _plain(text: str) -> str:
    """Return a message without the value: urllib quotes what stands after the last colon."""
    if text.startswith("Port "):
        return "the port of a URL is a number up to 65535"
    return "this is no URL" if "IPv" in text else text
