"""Writes a configuration and loads it the way that `check` and `run` do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proxy.config import Loaded, load
from proxy.errors import ConfigError

Load = Callable[..., Loaded]
Issues = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Load a text; `mode` is that of the file, which is private by default."""

    def _load(
        text: str | bytes,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
        mode: int = 0o600,
    ) -> Loaded:
        file = tmp_path / "sidekey.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(mode)
        return load(file, environ=environ or {}, overrides=overrides)

    return _load


@pytest.fixture
def issues(load_text: Load, tmp_path: Path) -> Issues:
    """Load a text that is wrong and return the lines, without the folder in front."""

    def _issues(text: str | bytes, *args: object, **kwargs: object) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, *args, **kwargs)
        return [line.replace(f"{tmp_path}/", "") for line in caught.value.issues]

    return _issues
