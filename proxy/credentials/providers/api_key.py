"""A key that the vendor issued, or several of them in order of preference. Pure."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from proxy.credentials.providers.base import Provider
from proxy.credentials.secret import Secret
from proxy.credentials.token import Token, TokenFlow
from proxy.errors import CredentialExhausted


def _check_key(key: Secret) -> Secret:
    if not key.reveal().isprintable():
        raise ValueError("a key holds no control characters and no line breaks")
    return key


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


_TEXT = {"type": "string", "minLength": 1, "writeOnly": True}
Keys = Annotated[
    tuple[Annotated[Secret, AfterValidator(_check_key)], ...],
    Field(min_length=1),
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}),
]


class ApiKey(Provider):
    """One key or an ordered list; a rejected key gives way to the next (the portal's Secondary)."""

    kept: ClassVar[bool] = False  # the configuration has them, one more copy only adds risk

    type: Literal["api_key"]
    """A key that the vendor issued."""
    keys: Keys
    """The key, or a list of keys in order of preference."""

    def acquire(self, previous: Token | None) -> TokenFlow:
        yield from ()
        return Token(self.keys[self._next(previous)])

    def _next(self, previous: Token | None) -> int:
        if previous is None or previous.value not in self.keys:
            return 0
        if len(self.keys) == 1:
            raise CredentialExhausted("the upstream rejected the only key")
        return (self.keys.index(previous.value) + 1) % len(self.keys)
