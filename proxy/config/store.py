"""Where tokens are kept, as the file says it."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from proxy.config.section import FilePath, Section, at_least
from proxy.credentials.secret import Secret

_MIN_KEY = 32
_KEYS = {  # that each type of store takes
    "file": {"path", "key"},
    "memory": set[str](),
    "redis": {"key", "url", "prefix"},
}


def _check_redis_url(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"(rediss?|unix)://[!-~]+", value):
        raise ValueError("expected a URL such as rediss://user:password@redis.example:6379/0")
    return value


class Store(Section):
    """Where tokens are kept across restarts."""

    type: Literal["file", "memory", "redis"] = "file"
    """`file`: encrypted, on disk. `memory`: forgotten at the end. `redis`: shared by many hosts."""
    path: FilePath | None = None
    """Folder of the token files; by default `$XDG_STATE_HOME/sidekey`."""
    key: Annotated[Secret, at_least(_MIN_KEY)] | None = None
    """Secret of at least 32 characters that encrypts the tokens; for files one is made once."""
    url: Annotated[Secret, BeforeValidator(_check_redis_url)] | None = None
    """Where the Redis or Valkey server is; `rediss://` for TLS, with user and password for ACLs."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "sidekey"
    """Begins the names of keys in Redis: fleets with different ones share nothing."""

    @model_validator(mode="after")
    def _keys_fit_the_type(self) -> Self:
        foreign = sorted(self.model_fields_set - {"type"} - _KEYS[self.type])
        if foreign:
            fitting = [kind for kind, keys in _KEYS.items() if set(foreign) <= keys]
            verb = "needs" if len(foreign) == 1 else "need"
            raise ValueError(
                f"{' and '.join(foreign)} {verb} type: {' or '.join(fitting) or 'redis'}"
            )
        if self.type == "redis" and (self.url is None or self.key is None):
            raise ValueError("type: redis needs url, and a key that all of the fleet have")
        return self
