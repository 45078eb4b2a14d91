"""What makes a provider's tokens its own: every configured value, secrets included."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from proxy.credentials.providers import Provider
from proxy.credentials.secret import MASK, Secret

SHORTEST_SECRET = 4  # shorter ones would mask half of every sentence


def material(provider: Provider, base_url: str) -> str:
    """Return the text that a store fingerprints: it changes with every field of the provider.

    The base URL is part of it, so that a token never goes to another server than before.
    It holds secrets: it is digested at once and never kept.
    """
    return json.dumps([base_url, _plain(provider)], sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.total_seconds() if isinstance(value, timedelta) else value


def masked(text: str, provider: Provider) -> str:
    """Return `text` with every secret of the provider masked: vendors echo what they refuse."""
    for secret in sorted(set(_secrets(provider)), key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return text


def _secrets(value: Any, *, hidden: bool = False) -> Iterator[str]:
    """Yield every Secret, and every text in a field that is kept out of `repr`."""
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _secrets(getattr(value, name), hidden=not field.repr)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item, hidden=hidden)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item, hidden=hidden)
    elif hidden and isinstance(value, str):
        yield value
