"""The configuration as it is in effect: every value, secrets masked, and where it came from.

What is masked: each `Secret`; what comes from a place that keeps secrets, or from a variable that
is named like one; and where a field is kept out of `repr`, all that does not come from the
catalogue. Where one that surely is secret stands in another value, it is masked there too, as are
user and password of a URL, and what its query calls a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, BeforeValidator, JsonValue
from pydantic.fields import FieldInfo

from proxy.config.issues import KeyPath, written
from proxy.config.literals import refers_to_secret
from proxy.config.models import Settings, Upstream
from proxy.config.origins import Origin, Origins, Place
from proxy.config.presets import presets
from proxy.config.shapes import key_of
from proxy.credentials.identity import secrets_of
from proxy.credentials.redaction import SENSITIVE_NAME, Redaction
from proxy.credentials.secret import MASK, Secret
from proxy.notation import duration_text, parse_rate, parse_size, rate_text, size_text

_REFERENCE = re.compile(r"\$\{(\w+)(:?)")
_SCHEME = re.compile(
    r"""(?:[A-Za-z][A-Za-z-]{0,15} |[A-Za-z]{1,4})?["']?\{\w+\}["']?"""
)  # Bearer {token}
_USER_OF_URL = re.compile(r"(?<=://)[^/?#\s]+@")
_SECRET_IN_QUERY = re.compile(
    rf"([?&][^=&#\s]*(?:{SENSITIVE_NAME.pattern})[^=&#\s]*=)[^&#\s]+", re.IGNORECASE
)
_TEXTS = {parse_rate: rate_text, parse_size: size_text}


@dataclass(frozen=True, slots=True)
class Setting:
    """One value in effect, as it is written in YAML; `path` is `upstreams.a.inject[0].name`."""

    path: str
    value: JsonValue
    origin: Origin

    def members(self) -> dict[str, object]:
        """Return it for JSON."""
        return {"path": self.path, "value": self.value, "origin": self.origin.members()}


@dataclass(frozen=True, slots=True)
class Effective:
    """The configuration of the file `path`; the list is made whenever it is asked for."""

    path: Path
    values: Settings
    origins: Origins

    def settings(self) -> tuple[Setting, ...]:
        """Return every value, in the order of the documents."""
        leaves = list(_leaves(Place(), self.values, self.origins))
        redaction = Redaction()
        for secret in _surely_secret(self.values, leaves):
            redaction.know(secret)
        return tuple(_setting(leaf, redaction) for leaf in leaves)

    def members(self) -> dict[str, object]:
        """Return it for JSON: `path`, and `settings` with `path`, `value` and `origin`."""
        return {
            "path": str(self.path),
            "settings": [setting.members() for setting in self.settings()],
        }


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A value that holds no other ones, but for a list of plain ones."""

    path: KeyPath
    value: Any
    origin: Origin
    is_hidden: bool

    @property
    def is_secret(self) -> bool:
        if isinstance(self.value, Secret):
            return True
        if self.value is None or isinstance(self.value, Mapping | list | tuple):
            return False
        if _takes_secret(self.origin):
            return True
        return self.is_hidden and not self._is_public

    @property
    def is_made_secret(self) -> bool:
        """Whether a reference or a preset's input made it the secret that no type tells of."""
        made = self.origin.reference is not None or bool(self.origin.inputs)
        return made and self.is_secret and not isinstance(self.value, Secret)

    @property
    def _is_public(self) -> bool:
        if self.origin.kind in ("preset", "default") and not self.origin.inputs:
            return True
        return self.origin.reference is None and _SCHEME.fullmatch(str(self.value)) is not None


def _surely_secret(values: Settings, leaves: list[_Leaf]) -> set[Secret]:
    """Return what is masked wherever it stands; placeholders are called `{refresh_token}` too."""
    made = {Secret(str(leaf.value)) for leaf in leaves if leaf.is_made_secret}
    public = {Secret(str(leaf.value)) for leaf in leaves if leaf.is_hidden and not leaf.is_secret}
    return {*secrets_of(values), *made} - public


def _leaves(place: Place, value: Any, origins: Origins, *, hidden: bool = False) -> Iterator[_Leaf]:
    if isinstance(value, BaseModel):
        yield from _of_model(place, value, origins)
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(origins.below(place, key), item, origins, hidden=hidden)
    elif isinstance(value, list | tuple) and value:
        yield from _of_list(place, value, origins, hidden=hidden)
    else:
        yield _Leaf(place.path, value, origins.filled(place), hidden)


def _of_model(place: Place, model: BaseModel, origins: Origins) -> Iterator[_Leaf]:
    if isinstance(model, Upstream):
        place = replace(place, preset=model.preset)
    for name, field in type(model).model_fields.items():
        is_given = name in model.model_fields_set
        below = origins.below(place, key_of(type(model), name), is_given=is_given)
        value = _in_notation(getattr(model, name), field)
        yield from _leaves(below, value, origins, hidden=not field.repr)


def _of_list(
    place: Place, items: list[Any] | tuple[Any, ...], origins: Origins, *, hidden: bool
) -> Iterator[_Leaf]:
    """Yield one leaf for a list of plain values that stand for themselves, else one for each."""
    leaves = [
        leaf
        for index, item in enumerate(items)
        for leaf in _leaves(origins.below(place, index), item, origins, hidden=hidden)
    ]
    plain = not hidden and all(isinstance(item, str | int | float | None) for item in items)
    if plain and not any(leaf.is_secret or leaf.origin.reference for leaf in leaves):
        yield _Leaf(place.path, list(items), place.origin, hidden)
    else:
        yield from leaves


def _in_notation(value: Any, field: FieldInfo) -> Any:
    """Return a rate or size as text; the type of the field tells that a number is one."""
    parts = [*field.metadata]
    for argument in get_args(field.annotation):
        parts += getattr(argument, "__metadata__", ())
    for part in parts:
        if value is not None and isinstance(part, BeforeValidator) and part.func in _TEXTS:
            return _TEXTS[part.func](value)
    return value


def _takes_secret(origin: Origin) -> bool:
    """Tell whether a value is secret by what it was made of, wherever it stands."""
    if origin.preset is not None:
        inputs = presets()[origin.preset].inputs
        if any(inputs[name].secret for name in origin.inputs):
            return True
    found = _REFERENCE.findall(origin.reference or "")
    return any(refers_to_secret(kind, is_place=bool(colon)) for kind, colon in found)


def _setting(leaf: _Leaf, redaction: Redaction) -> Setting:
    value = MASK if leaf.is_secret else _shown(leaf.value, redaction)
    return Setting(_written(leaf.path), value, leaf.origin)


def _shown(value: Any, redaction: Redaction) -> JsonValue:
    """Return a value as it is written in YAML, without what must not appear in it."""
    if isinstance(value, list | tuple):
        return [_shown(item, redaction) for item in value]
    if isinstance(value, Mapping):
        return {}  # what one holds is a leaf of its own
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("inf", ".inf").replace("nan", ".nan")  # JSON has no such numbers
    if isinstance(value, str | Path):
        text = _USER_OF_URL.sub(f"{MASK}@", str(value))
        return redaction.masked(_SECRET_IN_QUERY.sub(rf"\1{MASK}", text))
    assert value is None or isinstance(value, int | float)
    return value


def _written(path: KeyPath) -> str:
    """Return the path as people write it; the names of upstreams were checked."""
    if path[0] != "upstreams":
        return written(path)
    return f"upstreams.{path[1]}.{written(path[2:])}"
