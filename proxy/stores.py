"""Settings -> the store, and the folder where it is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from proxy.clock import utc_now
from proxy.config.store import Store as StoreSettings
from proxy.credentials.stores.base import Store
from proxy.credentials.stores.file import FileStore, default_folder
from proxy.credentials.stores.memory import MemoryStore
from proxy.errors import ConfigError, StoreError
from proxy.events import Observer, nobody


def state_folder(settings: StoreSettings, environ: Mapping[str, str]) -> Path:
    """Return the folder that holds tokens, locks and the store's key."""
    return settings.path or default_folder(environ)


def login_folder(settings: StoreSettings, environ: Mapping[str, str]) -> Path | None:
    """Return the folder by which sign-ins of several processes notice each other.

    There is none where tokens live in memory, and where nobody has a home.
    """
    if settings.type == "memory":
        return None
    with suppress(StoreError):
        return state_folder(settings, environ)
    return None


def open_store(
    settings: StoreSettings, environ: Mapping[str, str], observe: Observer = nobody
) -> Store:
    """Return the store that the configuration names; `observe` hears of damaged entries."""
    if settings.type == "memory":
        return MemoryStore(now=utc_now)
    if settings.type == "redis":
        return _open_redis(settings)
    return FileStore(state_folder(settings, environ), settings.key, observe=observe)


def _open_redis(settings: StoreSettings) -> Store:
    """Return the store; the library is imported for those only who use it."""
    try:
        from proxy.credentials.stores.redis import RedisStore
    except ImportError:
        why = "store.type: redis needs one more package: pip install 'sidekey[redis]'"
        raise ConfigError([why]) from None
    assert settings.url is not None  # the model saw to it
    assert settings.key is not None
    try:
        return RedisStore(settings.url, settings.key, prefix=settings.prefix)
    except (TypeError, ValueError):  # their texts may quote the URL
        raise ConfigError(["store.url: an option in its query is unknown or wrong"]) from None
