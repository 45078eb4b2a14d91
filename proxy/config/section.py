"""What the sections of the file have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from proxy.notation import Frozen


class Section(Frozen):
    """A part of the file."""


def _check_file_path(path: Path) -> Path:
    if str(path).startswith("~"):
        raise ValueError("~ is not expanded here: write ${HOME}")
    if "\0" in str(path):
        raise ValueError("a path holds no NUL")
    return path


def at_least(length: int) -> BeforeValidator:
    """Return a validator of texts that are not shorter."""

    def check(value: object) -> object:
        if isinstance(value, str) and len(value) < length:
            raise ValueError(f"needs at least {length} characters")
        return value

    return BeforeValidator(check)


FilePath = Annotated[Path, AfterValidator(_check_file_path)]
