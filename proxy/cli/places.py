"""Places where a first configuration may keep secrets: each returns a reference to what it kept."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from proxy.cli.variables import prefix
from proxy.config.references import Unresolved, keyring
from proxy.credentials.secret import Secret
from proxy.credentials.stores import private_file
from proxy.errors import StoreError

SERVICE = "sidekey"  # of the keyring's entries
MADE_UP = "a-made-up-value-in-place-of-a-secret"


class Place(Protocol):
    """Keeps secrets. `asks` tells whether it wants them now."""

    asks: bool

    def keep(self, upstream: str, key: str, secret: Secret, undo: ExitStack) -> str:
        """Keep a secret that is new, and return its reference; `undo` will forget it.

        Nothing that is there already is replaced. Raises `StoreError`.
        """
        ...


class PrivateFiles:
    """A file each, which nobody else can read."""

    asks = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, upstream: str, key: str, secret: Secret, undo: ExitStack) -> str:
        content = f"{secret.reveal()}\n".encode()
        for name in _names(upstream, key):
            path = self.folder / name
            if private_file.create(path, content):
                undo.callback(private_file.remove, path)
                return f"${{file:{path}}}"
        raise AssertionError  # there is always another name


class Keyring:
    """The system's keyring."""

    asks = True

    def keep(self, upstream: str, key: str, secret: Secret, undo: ExitStack) -> str:
        try:
            for name in _names(upstream, key):
                if keyring.keep(SERVICE, name, secret.reveal()):
                    undo.callback(keyring.forget, SERVICE, name)
                    return f"${{keyring:{SERVICE}/{name}}}"
        except Unresolved as error:
            raise StoreError(str(error), fix="keep the secrets in private files") from None
        raise AssertionError  # there is always another name


class Variables:
    """Environment variables, which somebody else sets; `names` collects them."""

    asks = False

    def __init__(self) -> None:
        self.names: list[str] = []

    def keep(self, upstream: str, key: str, secret: Secret, undo: ExitStack) -> str:
        name = variable(upstream, key)
        self.names.append(name)
        return f"${{{name}}}"


class StandIns:
    """Nothing: `environ` holds each secret, so that a configuration can be tried out."""

    asks = True

    def __init__(self) -> None:
        self.environ: dict[str, str] = {}

    def keep(self, upstream: str, key: str, secret: Secret, undo: ExitStack) -> str:
        name = f"STAND_IN_{len(self.environ)}"
        self.environ[name] = secret.reveal() or MADE_UP
        return f"${{{name}}}"


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of secret files, beside the user's configuration."""
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config"
    return Path.cwd() / base / "sidekey" / "secrets"


def variable(upstream: str, key: str) -> str:
    """Return the name of the environment variable for a key of an upstream's provider."""
    return f"{prefix(upstream)}_{key.upper()}"


def _names(upstream: str, key: str) -> itertools.chain[str]:
    """Return the names to try: another configuration may have an upstream of the same name."""
    name = f"{upstream}.{key}"
    return itertools.chain([name], (f"{name}.{number}" for number in itertools.count(2)))
