"""Finds and loads the configuration: the one way that `check` and the running server share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from proxy.config.client_header import client_header_conflicts
from proxy.config.cookies import cookie_conflicts
from proxy.config.document import MAX_BYTES, parse
from proxy.config.effective import Effective
from proxy.config.exposure import exposure
from proxy.config.interpolation import Expansion, unbraced_issue
from proxy.config.issues import Issue, lies_below, lines
from proxy.config.literals import exposed_secret_issue, literal_secret_issue, secret_places
from proxy.config.models import Listen, Settings
from proxy.config.origins import Origins
from proxy.config.overrides import override
from proxy.config.ports import port_conflicts
from proxy.config.presets import Completion
from proxy.config.references.file import READABLE_BY_OTHERS
from proxy.config.trust import check_writers
from proxy.config.versions import Versions, version_at
from proxy.config.wording import issues_of
from proxy.credentials.secret import Secret
from proxy.errors import ConfigError


class Found(NamedTuple):
    """The configuration to load; not trusted if it merely lies in the current directory."""

    path: Path
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used; `warnings` are printable lines.

    `variables` are the environment variables that it refers to, `hidden` is what it refers to that
    nobody may read, wherever it stands; `is_trusted` is how it was found, `effective` tells of each
    value where it came from.
    """

    settings: Settings
    path: Path
    is_trusted: bool
    warnings: tuple[str, ...]
    variables: frozenset[str]
    hidden: frozenset[Secret]
    effective: Effective


def find(explicit: Path | None, *, environ: Mapping[str, str], cwd: Path) -> Found:
    """Return the file to load: the one that is named, else the first that is there.

    Raises `ConfigError` that names every place and what to do.
    """
    if explicit is not None:
        return Found(_named(explicit, "--config", cwd), is_trusted=True)
    if environ.get("SIDEKEY_CONFIG"):
        named = _named(Path(environ["SIDEKEY_CONFIG"]), "SIDEKEY_CONFIG", cwd)
        return Found(named, is_trusted=True)
    home = Path(environ.get("HOME", "/"))
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    here = [cwd / "sidekey.yaml", cwd / "config.yaml"]
    places = [*here, user / "sidekey" / "config.yaml", Path("/etc/sidekey/config.yaml")]
    for place in places:
        if place.is_file():
            return Found(place, is_trusted=place not in here)
    raise ConfigError(
        [
            "no configuration found; looked at --config, SIDEKEY_CONFIG and",
            *(f"  {place}" for place in places),
            "to try sidekey without one: sidekey demo",
            "to write one: sidekey init",
        ]
    )


def _named(path: Path, name: str, cwd: Path) -> Path:
    if not (cwd / path).exists():  # a pipe will do, as in --config <(...)
        raise ConfigError([f"{name}: no such file: {path}"])
    return cwd / path


def load(
    path: Path,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    files: Versions | None = None,
    is_trusted: bool = True,
) -> Loaded:
    """Return the settings of a file, its references resolved and its presets filled in.

    `overrides` maps dotted keys such as `listen.port` to what an option said; they win over
    `SIDEKEY_HOST`, `SIDEKEY_PORT` and `SIDEKEY_UNIX_SOCKET`, and these over the file.
    `files` is filled with the file and those that it refers to, even if it cannot be used.
    `is_trusted` is what `find` says; whoever names a file trusts it.
    Raises `ConfigError` with every issue as `file:line:col: path: what is wrong`.
    """
    files = {} if files is None else files
    files[path] = version_at(path)
    content, is_private = read_content(path, is_trusted=is_trusted)
    document = parse(content)
    if document.value is None:
        raise ConfigError(lines(document.issues, path, document.positions, {}))
    expansion = Expansion(environ, path, is_trusted, files=files)
    expanded = {key: expansion.expand(item, (key,)) for key, item in document.value.items()}
    changed, origins = override(expanded, environ, overrides or {})
    completion = Completion()
    value = completion.complete(changed)

    unbraced = [unbraced_issue(place) for place in expansion.unbraced - origins.keys()]
    issues = [*document.issues, *expansion.issues]
    issues += _unless_reported(completion.issues, issues)
    settings, found = _validate(value)
    issues += _unless_reported(found, [*issues, *unbraced])
    issues += _unless_reported([*port_conflicts(value), *cookie_conflicts(value)], issues)
    if settings is not None:
        issues += [*exposure(settings), *client_header_conflicts(settings)]

    opened = secret_places(value, expansion.exposed, completion.secrets)
    issues += [exposed_secret_issue(place, expansion.exposed[place]) for place in opened]
    literals = secret_places(value, expansion.literals - origins.keys(), completion.secrets)
    if is_private:
        literals -= expansion.unbraced
    exposed = [literal_secret_issue(place, is_private=is_private) for place in literals]
    if not is_private:
        issues += exposed
    if settings is None or issues:
        raise ConfigError(lines([*issues, *unbraced], path, document.positions, origins))
    warnings = tuple(lines([*exposed, *unbraced], path, document.positions, origins))
    known = Origins(document.positions, expansion.references, origins, expansion.copies)
    effective = Effective(path, settings, known)
    variables, hidden = frozenset(expansion.variables), frozenset(expansion.hidden)
    return Loaded(settings, path, is_trusted, warnings, variables, hidden, effective)


def listen_of(path: Path, *, environ: Mapping[str, str], is_trusted: bool) -> Listen:
    """Return the address at which a proxy with that file listens, whatever else may be wrong in it.

    Nothing else is read: no secret, no program. Where the file is no YAML, or an address is none,
    the environment's word and the default are left.
    """
    section: object = {}
    with suppress(ConfigError):
        document = parse(read_content(path, is_trusted=is_trusted)[0])
        section = (document.value or {}).get("listen", {})
    expanded = Expansion(environ, path, is_trusted, files={}).expand(section, ("listen",))
    told = expanded if isinstance(expanded, dict) else {}
    changed = override({"listen": told}, environ, {})[0]["listen"]
    assert isinstance(changed, dict)
    found = {}
    for name in changed.keys() & {"host", "port", "unix_socket"}:
        with suppress(ValidationError):
            found[name] = getattr(Listen.model_validate({name: changed[name]}), name)
    return Listen.model_validate(found)


def read_content(path: Path, *, is_trusted: bool) -> tuple[bytes, bool]:
    """Return the content and whether only its owner can read it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not is_trusted:
                check_writers(path, status)
            return file.read(MAX_BYTES + 1), not status.st_mode & READABLE_BY_OTHERS
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None


def _validate(value: dict[str, object]) -> tuple[Settings | None, list[Issue]]:
    try:
        return Settings.model_validate(value), []
    except ValidationError as error:
        return None, list(issues_of(error, value, Settings))


def _unless_reported(found: list[Issue], reported: list[Issue]) -> list[Issue]:
    """Return the issues that stand at no place, and below none, of which one tells already.

    A slip is told in any case: what it was meant for may seem to be missing.
    """
    places = {issue.path for issue in reported if issue.path}
    return [issue for issue in found if issue.meant or not lies_below(issue.path, places)]
