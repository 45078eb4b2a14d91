"""`${keyring:service/user}`: the system's keyring (the extra `keyring`)."""

from __future__ import annotations

import importlib
from typing import Any

from proxy.background import in_background
from proxy.config.references import Unresolved

TIMEOUT = 30.0  # seconds: somebody may have to type the password that unlocks the keyring


def password(reference: str) -> str:
    """Return the password of `service/user`. Raises `Unresolved`, after 30 seconds at the latest.

    A keyring that hangs, as one without a desktop may, is left behind in its thread.
    """
    service, separator, user = reference.rpartition("/")
    if not separator or not service or not user:
        raise Unresolved("expected ${keyring:service/user}")
    try:
        return in_background(lambda: _password(service, user)).result(TIMEOUT)
    except TimeoutError:
        raise Unresolved(f"the keyring did not answer within {TIMEOUT:g} seconds") from None


def _password(service: str, user: str) -> str:
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise Unresolved("the keyring is not installed: pip install 'sidekey[keyring]'") from None
    for backend in _trusted(keyring.get_keyring()):
        try:
            password = backend.get_password(service, user)
        except keyring.errors.KeyringError as error:
            raise Unresolved(f"the keyring cannot be read: {type(error).__name__}") from None
        if password is not None:
            return str(password)
    raise Unresolved(f"the keyring holds no password of {user} for {service}")


def _trusted(chosen: Any) -> list[Any]:
    """Return the backends to ask; the `chosen` one may be a chain of several.

    Raises `Unresolved` if there is none: keyring falls back to files in plain text silently.
    """
    chain = getattr(chosen, "backends", [chosen])
    trusted = [backend for backend in chain if _keeps_secrets(backend)]
    if not trusted:
        name = f"{type(chosen).__module__}.{type(chosen).__qualname__}"
        raise Unresolved(f"the keyring is none that keeps a secret: {name}; use another reference")
    return trusted


def _keeps_secrets(backend: Any) -> bool:
    """Return whether keyring recommends a backend (priority 1 or more) that does encrypt."""
    plain = any("Plaintext" in kind.__name__ for kind in type(backend).__mro__)
    return not plain and backend.priority >= 1
