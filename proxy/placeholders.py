"""`{name}` in the texts of a nested shape of mappings and lists. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def fill(shape: Any, values: Mapping[str, str]) -> Any:
    """Return `shape` with `{name}` replaced, in one pass, so that values may hold braces.

    Names without a value stay as they are: a preset's input is replaced long before `{token}` is.
    """
    if isinstance(shape, str):
        return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), shape)
    if isinstance(shape, Mapping):
        return {key: fill(item, values) for key, item in shape.items()}
    if isinstance(shape, list):
        return [fill(item, values) for item in shape]
    return shape


def names(shape: Any) -> set[str]:
    """Return the names that stand in `shape` as placeholders."""
    if isinstance(shape, str):
        return set(_PLACEHOLDER.findall(shape))
    if isinstance(shape, Mapping):
        shape = list(shape.values())
    return set().union(*map(names, shape)) if isinstance(shape, list) else set()
