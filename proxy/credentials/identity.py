"""What makes a provider's tokens its own: every configured value, secrets included."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

from proxy.credentials.providers import Provider
from proxy.credentials.secret import MASK, Secret

_CREDENTIALS = re.compile(r"\b(Basic|Bearer) +[\w.~+/=-]+", re.IGNORECASE)
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
    secrets = {secret for secret in _secrets(provider) if len(secret) >= SHORTEST_SECRET}
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
    for spelling in sorted(spellings, key=len, reverse=True):
        text = re.sub(re.escape(spelling), MASK, text, flags=re.IGNORECASE)
    return _CREDENTIALS.sub(rf"\1 {MASK}", text)


def _spellings(secret: str) -> set[str]:
    """Return the secret as JSON, a form and a URL may spell it."""
    return {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)}


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
