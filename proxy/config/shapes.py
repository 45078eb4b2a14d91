"""Which model or secret stands at which place of a configuration, valid or not.

Pydantic tells this only of valid input, but hints and the check for literal secrets are needed
for input that is wrong elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from proxy.config.issues import KeyPath
from proxy.credentials.secret import Secret

ANY_NAME = "NAME"  # in the place of one that the user chooses


def shapes(value: object, annotation: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, type]]:
    """Yield the place and class of every model, and of every text that is to be a `Secret`."""
    for arm in _arms(annotation):
        origin, arguments = get_origin(arm), get_args(arm)
        if arm is Secret and isinstance(value, str):
            yield path, Secret
        elif _is_model(arm):
            if isinstance(value, dict) and fits(arm, value):
                yield path, arm
                yield from _fields(value, arm, path)
        elif origin is dict and isinstance(value, dict):
            for key, item in value.items():
                yield from shapes(item, arguments[1], (*path, key))
        elif origin is tuple:
            yield from _items(value, arguments, path)


def key_of(model: type[BaseModel], name: str) -> str:
    """Return the YAML key of a field."""
    return model.model_fields[name].alias or name


def fits(model: type[BaseModel], value: dict[str, object]) -> bool:
    """Return whether the tags (`type`, `in`) that are written are those of the model."""
    for name, entry in model.model_fields.items():
        if get_origin(entry.annotation) is Literal and entry.is_required():
            return value.get(key_of(model, name)) in get_args(entry.annotation)
    return True


def sections(model: type[BaseModel]) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    """Yield where a model may hold another one as a mapping, and that one's class."""
    for name, entry in model.model_fields.items():
        for arm in _arms(entry.annotation):
            if get_origin(arm) is dict and _is_model(get_args(arm)[1]):
                yield (key_of(model, name), ANY_NAME), get_args(arm)[1]
            elif _is_model(arm):
                yield (key_of(model, name),), arm


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _arms(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, through `Annotated`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _arms(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for arm in get_args(annotation):
            yield from _arms(arm)
    else:
        yield annotation


def _fields(
    value: dict[str, object], model: type[BaseModel], path: KeyPath
) -> Iterator[tuple[KeyPath, type]]:
    for name, entry in model.model_fields.items():
        key = key_of(model, name)
        if key in value:
            yield from shapes(value[key], entry.annotation, (*path, key))


def _items(
    value: object, arguments: tuple[Any, ...], path: KeyPath
) -> Iterator[tuple[KeyPath, type]]:
    if not isinstance(value, list):  # the only item stands alone
        yield from shapes(value, arguments[0], path)
        return
    repeated = len(arguments) == 2 and arguments[1] is Ellipsis
    for index, item in enumerate(value):
        if repeated or index < len(arguments):
            yield from shapes(item, arguments[0 if repeated else index], (*path, index))
