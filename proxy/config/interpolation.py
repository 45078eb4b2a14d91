"""`${VAR}` and its relatives in the values of a configuration.

Only text values are read, after parsing and never in keys, so that what a variable holds can
neither become YAML nor another reference. No message repeats a value.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.config.issues import Issue, KeyPath

MAX_FILE_BYTES = 64 * 1024

_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<inner>[^}]*)(?P<end>\}?))", re.DOTALL)
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{\w+\}")  # such as {refresh_token}, which a provider fills in
_FORMS = "${VAR}, ${VAR:-default}, ${VAR:?message}, ${file:/path}, ${keyring:service/user}"


class _Unresolved(Exception):
    """A reference leads nowhere; the message says why."""


@dataclass(slots=True)
class Expansion:
    """Replaces references; `literals` collects the places of texts that stand for themselves.

    Relative paths of `${file:...}` start at `folder`, the folder of the configuration.
    """

    environ: Mapping[str, str]
    folder: Path
    literals: set[KeyPath] = field(default_factory=set)
    issues: list[Issue] = field(default_factory=list)

    def expand(self, value: object, path: KeyPath = ()) -> object:
        """Return `value` with every reference replaced; what cannot be becomes an empty text."""
        if isinstance(value, dict):
            return {key: self.expand(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.expand(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        if "${" not in value.replace("$$", "") and not _PLACEHOLDER.fullmatch(value):
            self.literals.add(path)
        return _REFERENCE.sub(lambda found: self._replaced(found, path), value)

    def _replaced(self, found: re.Match[str], path: KeyPath) -> str:
        if found["dollar"]:
            return "$"
        try:
            if not found["end"]:
                raise _Unresolved("'${' without '}': write $${ for these characters themselves")
            return self._resolved(found["inner"])
        except _Unresolved as unresolved:
            issue = Issue(path, str(unresolved))
            if self.issues[-1:] != [issue]:  # `${X}${X}` is told once
                self.issues.append(issue)
            return ""

    def _resolved(self, inner: str) -> str:
        if inner.startswith("file:"):
            return _file_text(self.folder / inner.removeprefix("file:"))
        if inner.startswith("keyring:"):
            return _keyring_password(inner.removeprefix("keyring:"))
        variable = _VARIABLE.fullmatch(inner)
        if variable is None:
            raise _Unresolved(f"unknown kind of reference: write {_FORMS}, or $$ for a dollar sign")
        name, operator, rest = variable.groups()
        value = self.environ.get(name)
        if operator == ":-":
            return value or rest
        if operator == ":?" and not value:
            raise _Unresolved(f"the environment variable {name} is not set: {rest}")
        if value is None:
            raise _Unresolved(f"the environment variable {name} is not set")
        return value


def _file_text(path: Path) -> str:
    """Return the text of a file without one trailing newline."""
    try:
        if not path.is_file():  # a FIFO would block, a device might never end
            raise _Unresolved(f"no such file: {path}")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _Unresolved(f"cannot read {path}: {error.strerror}") from None
    except ValueError:  # a NUL in the path
        raise _Unresolved("this is no path of a file") from None
    if len(content) > MAX_FILE_BYTES:
        raise _Unresolved(f"{path} is larger than 64 KiB")
    try:
        return content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise _Unresolved(f"{path} is not UTF-8") from None


def _keyring_password(reference: str) -> str:
    """Return the password of `service/user` in the system's keyring (the extra `keyring`)."""
    service, separator, user = reference.rpartition("/")
    if not separator or not service or not user:
        raise _Unresolved("expected ${keyring:service/user}")
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise _Unresolved("the keyring is not installed: pip install 'sidekey[keyring]'") from None
    try:
        password = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise _Unresolved(f"the keyring cannot be read: {type(error).__name__}") from None
    if password is None:
        raise _Unresolved(f"the keyring holds no password of {user} for {service}")
    return str(password)
