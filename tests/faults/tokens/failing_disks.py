"""Disks that are full or broken, as far as the store can see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from proxy.credentials.stores import private_file


@contextmanager
def failing(call: str, number: int) -> Iterator[None]:
    """Let a system call fail wherever the store makes it: that of the folder's lock works."""
    real = getattr(os, call)

    def fail(*arguments: Any, **options: Any) -> Any:
        if call == "open" and not str(arguments[0]).endswith(private_file.TEMPORARY):
            return real(*arguments, **options)
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, fail)
        yield
