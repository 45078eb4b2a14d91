"""Secrets that others can read: they stand in the configuration itself, or in an open file."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from proxy.config.issues import Issue, KeyPath
from proxy.config.models import Settings
from proxy.config.shapes import shapes
from proxy.credentials.secret import Secret

# Free fields of token requests have no type that tells; their names do.
_FREE_FIELDS = {"request", "renewal", "extra_params"}
SECRET_NAME = re.compile(
    r"(secret|password|passwd|pwd|passphrase|api[-_]?key|token|authorization)$", re.IGNORECASE
)
_KEEPING_SECRETS = frozenset({"credential", "exec", "file", "keyring"})


def refers_to_secret(kind: str, *, is_place: bool) -> bool:
    """Tell whether a reference is to a secret: in a place for them, or a variable called like one.

    `kind` is what stands before the colon where there `is_place`, else the variable's name.
    """
    return (is_place and kind in _KEEPING_SECRETS) or SECRET_NAME.search(kind) is not None


def secret_places(
    value: dict[str, object], places: Collection[KeyPath], inputs: set[KeyPath]
) -> set[KeyPath]:
    """Return those of `places` that hold secrets: by type, as preset input, or by name."""
    known = inputs | {path for path, kind in shapes(value, Settings) if kind is Secret}
    return {path for path in places if path in known or _named_as_secret(path)}


def literal_secret_issue(path: KeyPath, *, is_private: bool) -> Issue:
    """Return what is said of a literal secret: advice in a private file, else a refusal."""
    if is_private:
        return Issue(path, "a secret stands in the file: better use ${VAR} or ${file:...}")
    return Issue(
        path,
        "a secret stands in a file that others can read: chmod 600, or use ${VAR} or ${file:...}",
    )


def exposed_secret_issue(path: KeyPath, file: Path) -> Issue:
    """Return what is said of a secret that comes from a `file` which others can read."""
    return Issue(path, f"others can read {file}, which holds a secret: chmod 600")


def _named_as_secret(path: KeyPath) -> bool:
    is_free_field = path[2:3] == ("provider",) and not _FREE_FIELDS.isdisjoint(path[3:])
    return is_free_field and SECRET_NAME.search(str(path[-1])) is not None
