"""Fixtures that write a configuration and load it the way that `check` and `run` do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proxy.config import Loaded, load
from proxy.errors import ConfigError

Load = Callable[..., Loaded]
Issues = Callable[..., list[str]]
WITH_A_PASSWORD = """
upstreams:
  a:
    base_url: https://a.example
    provider:
      type: jquants
      password: {text}
      mailaddress: ${{MAIL:-me@example.com}}
"""


def write_secret(path: Path, text: str = "kept\n", mode: int = 0o600) -> Path:
    """Write a file that holds a secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Load a text; `mode` is that of the file, which is private by default."""

    def _load(
        text: str | bytes,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
        mode: int = 0o600,
        *,
        is_trusted: bool = True,
    ) -> Loaded:
        file = tmp_path / "sidekey.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(mode)
        return load(file, environ=environ or {}, overrides=overrides, is_trusted=is_trusted)

    return _load


@pytest.fixture
def issues(load_text: Load, tmp_path: Path) -> Issues:
    """Load a text that is wrong and return the lines, without the folder in front."""

    def _issues(text: str | bytes, *args: object, **kwargs: object) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, *args, **kwargs)
        return [line.replace(f"{tmp_path}/", "") for line in caught.value.issues]

    return _issues


@pytest.fixture
def password(load_text: Load) -> Callable[..., str]:
    """Load one value as a password, which may be any text, and return what it became."""

    def _password(text: str, environ: Mapping[str, str] | None = None) -> str:
        loaded = load_text(WITH_A_PASSWORD.format(text=text), environ)
        return loaded.settings.upstreams["a"].provider.password.reveal()

    return _password


@pytest.fixture
def wrong_password(issues: Issues) -> Callable[..., str]:
    """Load one value that leads nowhere as a password, and return what is said of it."""

    def _wrong(text: str, environ: Mapping[str, str] | None = None) -> str:
        (line,) = issues(WITH_A_PASSWORD.format(text=text), environ)
        place, _, said = line.partition("password: ")
        assert place == "sidekey.yaml:7:7: upstreams.a.provider."
        return said

    return _wrong


def effective(loaded: Loaded) -> dict[str, tuple[object, dict[str, object]]]:
    """Return value and origin of each setting by path, as they come out of JSON."""
    members = json.loads(json.dumps(loaded.effective.members(), allow_nan=False))
    assert members["path"] == str(loaded.path)
    found = {entry["path"]: (entry["value"], entry["origin"]) for entry in members["settings"]}
    assert len(found) == len(members["settings"])
    return found
