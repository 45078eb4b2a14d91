"""What makes a provider's tokens its own: every configured value; which of them are secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from proxy.credentials.providers import Provider
from proxy.credentials.redaction import SENSITIVE_NAME, Redaction
from proxy.credentials.secret import MASK, Secret
from proxy.injection import Injector

_CREDENTIALS = re.compile(r"\b(Basic|Bearer) +[\w.~+/=-]+", re.IGNORECASE)
SHORTEST_SECRET = 4  # shorter ones could be part of a word


def material(provider: Provider, base_url: str) -> str:
    """Return the text that a store fingerprints: it changes with every field of the provider.

    The base URL is part of it, so that a token never goes to another server than before.
    It holds secrets: it is digested at once and never kept.
    """
    return json.dumps([base_url, _plain(provider)], sort_keys=True, ensure_ascii=False)


def credential(provider: Provider) -> str:
    """Return the text that stands for what could be locked: the secrets, and where they are sent.

    Two providers that differ in how long they take a token for good have the same. It holds
    secrets, as `material` does.
    """
    known = set(secrets_of(provider)) or set(hidden_texts(provider))
    secrets = sorted(secret.reveal() for secret in known)
    return json.dumps([sorted(provider.endpoints()), secrets], ensure_ascii=False)


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
    redaction = Redaction(shortest=SHORTEST_SECRET)
    for secret in {*secrets_of(provider), *hidden_texts(provider)}:
        redaction.know(secret)
    return redaction.masked(_CREDENTIALS.sub(rf"\1 {MASK}", text))


def secrets_of(settings: BaseModel) -> Iterator[Secret]:
    """Yield every Secret in `settings`, and what is called one where any text may stand.

    Such as the member `clientSecret` of a token request.
    """
    for name, found in _kept_out_of_sight("", settings):
        if isinstance(found, Secret):
            yield found
        elif SENSITIVE_NAME.search(name):
            yield Secret(found)


def hidden_texts(settings: BaseModel) -> Iterator[Secret]:
    """Yield every text in a field that is kept out of `repr`: some are secret, some are not."""
    for _, found in _kept_out_of_sight("", settings):
        if isinstance(found, str):
            yield Secret(found)


def _kept_out_of_sight(
    name: str, value: Any, *, hidden: bool = False
) -> Iterator[tuple[str, Secret | str]]:
    """Yield Secrets and hidden texts, each with the name of the field or member it stands in."""
    if isinstance(value, Secret) or (hidden and isinstance(value, str)):
        yield name, value
    elif isinstance(value, Injector):
        if not value.uses_token:
            yield str(getattr(value, "name", "")), value.format
    elif isinstance(value, BaseModel):
        for field_name, field in type(value).model_fields.items():
            item = getattr(value, field_name)
            yield from _kept_out_of_sight(field_name, item, hidden=not field.repr)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _kept_out_of_sight(key, item, hidden=hidden)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _kept_out_of_sight(name, item, hidden=hidden)
