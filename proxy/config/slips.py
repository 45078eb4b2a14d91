"""Unknown keys: which known one was meant, or where a key of this name belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from proxy.config.issues import Issue, KeyPath, written
from proxy.config.presets import presets
from proxy.config.shapes import ANY_NAME, fits, key_of, sections
from proxy.nearest import nearest

Models = Mapping[KeyPath, type[BaseModel]]


def unknown_key(path: KeyPath, value: object, models: Models) -> Issue:
    """Return the issue of a key at `path` that the model there does not know.

    `models` are those of `value`, by place. A preset may know more keys of a provider.
    """
    place, key = path[:-1], str(path[-1])
    meant = _below(key, place, value, models) or _above(key, place, value, models)
    meant = meant or _near(key, place, value, models)
    if not meant:
        return Issue(path, "unknown key", tentative=_is_of_provider(place))
    return slip(path, meant)


def misplaced(place: KeyPath, value: object, models: Models) -> Iterator[Issue]:
    """Yield the issues of keys that belong above `place`, of which the model is not known."""
    known = [keys for where, keys in _sections(place[:-1], value, models) if where == place]
    beside = value_at(value, place)
    for key in beside if isinstance(beside, dict) else ():
        meant = _above(key, place, value, models)
        if meant and not any(key in keys for keys in known):
            yield slip((*place, key), meant)


def nameless(value: object, models: Models) -> Iterator[Issue]:
    """Yield the issues of keys that stand where names should: the level of names was left out."""
    for names, kind in sections(models[()]):
        entries = value_at(value, names[:-1])
        if names[-1] != ANY_NAME or not isinstance(entries, dict):
            continue
        keys = [key for key in entries if key in _keys_of(kind) and not _is_whole(entries[key])]
        if not all(isinstance(entries[key], dict) for key in keys):
            yield from (slip((*names[:-1], key), [(*names, key)]) for key in keys)


def _is_whole(entry: object) -> bool:
    """Return whether an entry is an upstream, whatever it is called."""
    return isinstance(entry, dict) and not entry.keys().isdisjoint(("base_url", "preset"))


def slip(path: KeyPath, meant: list[KeyPath]) -> Issue:
    """Return the issue of the key at `path` that was meant for one of the places `meant`."""
    hint = " or ".join(_told(one, path[:-1]) for one in meant)
    return Issue(path, f"unknown key (did you mean {hint}?)", meant=meant[0])


def value_at(value: Any, path: KeyPath) -> object:
    """Return what stands at `path` below `value`, `None` if nothing does."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _told(meant: KeyPath, place: KeyPath) -> str:
    """Return a place as it is told to somebody who looks at `place`."""
    if meant[: len(place)] == place:
        return f"'{written(meant[len(place) :])}'"
    return f"'{written(meant)}'" + (" at the top" if len(meant) == 1 else "")


def _below(key: str, place: KeyPath, value: object, models: Models) -> list[KeyPath]:
    """Return where a key of this name may stand in the sections of the model at `place`."""
    found = [where for where, keys in _sections(place, value, models) if key in keys]
    return [(*where, key) for where in dict.fromkeys(found)]


def _above(key: str, place: KeyPath, value: object, models: Models) -> list[KeyPath]:
    """Return where the nearest model around the one at `place` knows the key, and lacks it."""
    for end in reversed(range(len(place))):
        model, beside = models.get(place[:end]), value_at(value, place[:end])
        if model is not None and key in _keys_of(model):
            is_there = isinstance(beside, dict) and key in beside
            return [] if is_there else [(*place[:end], key)]
    return []


def _near(key: str, place: KeyPath, value: object, models: Models) -> list[KeyPath]:
    """Return where the key of the nearest name stands.

    Those of a provider are known beside it too, since they are easily written there.
    """
    known: dict[str, KeyPath] = {}
    for where, keys in _sections(place, value, models):
        if where == (*place, "provider"):
            known |= {name: (*where, name) for name in keys}
    model = models.get(place)
    if model is not None:
        known |= {name: (*place, name) for name in _keys_at(place, model, value)}
    known.pop(key, None)  # an input of a preset whose type of provider was changed
    near = nearest(key, known)
    return [] if near is None else [known[near]]


def _sections(place: KeyPath, value: object, models: Models) -> Iterator[tuple[KeyPath, set[str]]]:
    """Yield the places of the sections one level below `place`, and the keys that are known there.

    The type of a provider may stand beside it; as long as there is none, it may be any.
    """
    model = models.get(place)
    beside = value_at(value, place)
    for names, kind in sections(model) if model is not None else ():
        where = (*place, *_with_the_only_name(names, beside))
        if models[where] is kind if where in models else _may_be(kind, beside):
            yield where, _keys_at(where, kind, value)


def _may_be(kind: type[BaseModel], beside: object) -> bool:
    return isinstance(beside, dict) and ("type" not in beside or fits(kind, beside))


def _with_the_only_name(names: KeyPath, beside: object) -> KeyPath:
    """Return `names` with a name that was written, if there is just one that may be meant."""
    entries = value_at(beside, names[:-1])
    if names[-1] == ANY_NAME and isinstance(entries, dict) and len(entries) == 1:
        return (*names[:-1], *entries)
    return names


def _keys_of(model: type[BaseModel]) -> set[str]:
    return {key_of(model, name) for name in model.model_fields}


def _keys_at(place: KeyPath, model: type[BaseModel], value: object) -> set[str]:
    """Return the keys that are known at `place`; a preset knows more of its provider."""
    preset = presets().get(str(value_at(value, (*place[:-1], "preset"))))
    if preset is None or not _is_of_provider(place):
        return _keys_of(model)
    return _keys_of(model) | preset.inputs.keys()


def _is_of_provider(place: KeyPath) -> bool:
    return len(place) == 3 and (place[0], place[2]) == ("upstreams", "provider")
