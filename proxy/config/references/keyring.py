"""`${keyring:service/user}`: the system's keyring (the extra `keyring`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from proxy.background import in_background
from proxy.config.references import Unresolved

TIMEOUT = 30.0  # seconds: somebody may have to type the password that unlocks the keyring
T = TypeVar("T")


def password(reference: str) -> str:
    """Return the password of `service/user`. Raises `Unresolved`, after 30 seconds at the latest.

    A keyring that hangs, as one without a desktop may, is left behind in its thread.
    """
    service, separator, user = reference.rpartition("/")
    if not separator or not service or not user:
        raise Unresolved("expected ${keyring:service/user}")
    return _answer(lambda: _password(service, user))


def is_usable() -> bool:
    """Return whether there is a keyring that keeps secrets."""
    with suppress(Unresolved):
        return bool(_answer(lambda: _backends(_library())))
    return False


def keep(service: str, user: str, password: str) -> bool:
    """Keep a password; `False` if there is one already. Raises `Unresolved`."""
    return _answer(lambda: _keep(service, user, password))


def forget(service: str, user: str) -> None:
    """Remove a password that `keep` has kept. Raises `Unresolved`."""
    _answer(lambda: _forget(service, user))


def _answer(call: Callable[[], T]) -> T:
    try:
        return in_background(call).result(TIMEOUT)
    except TimeoutError:
        raise Unresolved(f"the keyring did not answer within {TIMEOUT:g} seconds") from None


def _password(service: str, user: str) -> str:
    password = _found(service, user)
    if password is None:
        raise Unresolved(f"the keyring holds no password of {user} for {service}")
    return password


def _found(service: str, user: str) -> str | None:
    library = _library()
    for backend in _backends(library):
        try:
            password = backend.get_password(service, user)
        except library.errors.KeyringError as error:
            raise Unresolved(f"the keyring cannot be read: {type(error).__name__}") from None
        if password is not None:
            return str(password)
    return None


def _keep(service: str, user: str, password: str) -> bool:
    if _found(service, user) is not None:
        return False
    library = _library()
    try:
        _backends(library)[0].set_password(service, user, password)
    except library.errors.KeyringError as error:
        raise Unresolved(f"the keyring keeps nothing: {type(error).__name__}") from None
    return True


def _forget(service: str, user: str) -> None:
    library = _library()
    with suppress(library.errors.KeyringError):
        _backends(library)[0].delete_password(service, user)


def _library() -> Any:
    try:
        return importlib.import_module("keyring")
    except ImportError:
        raise Unresolved("the keyring is not installed: pip install 'sidekey[keyring]'") from None


def _backends(library: Any) -> list[Any]:
    return _trusted(library.get_keyring())


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
