"""What can be told of a configuration without its credentials: where it listens, who is served.

A shell asks at each press of the Tab key, and for variables where nobody has the credentials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from proxy.config.document import Document, parse
from proxy.config.interpolation import Expansion
from proxy.config.issues import lines
from proxy.config.loading import listen_of, read_content
from proxy.config.models import Clients, Listen, OwnPort, UpstreamName
from proxy.config.section import Section
from proxy.config.wording import issues_of
from proxy.errors import ConfigError

_NAME: TypeAdapter[str] = TypeAdapter(UpstreamName)
_PORT: TypeAdapter[int | None] = TypeAdapter(OwnPort | None)
_VARIABLE = re.compile(rb"\$\{([A-Za-z_][A-Za-z0-9_]*)")


class _Callers(Section):
    """The part of a configuration that says who may call."""

    clients: Clients | None


@dataclass(frozen=True, slots=True)
class Outline:
    """Where a proxy with the file at `path` listens, and who may call it.

    `ports` holds the own port of each upstream, `None` for one that has none. `variables` are the
    environment variables that the file refers to.
    """

    path: Path
    listen: Listen
    clients: Clients | None
    ports: Mapping[str, int | None]
    variables: frozenset[str]


def upstream_names(path: Path, *, is_trusted: bool) -> list[str]:
    """Return the names of the upstreams in a file. Raises `ConfigError` if it cannot be read."""
    content, _ = read_content(path, is_trusted=is_trusted)
    return list(_upstreams(parse(content)))


def outline_of(path: Path, *, environ: Mapping[str, str], is_trusted: bool) -> Outline:
    """Return what a file says of listeners and clients; no other reference is followed.

    Raises `ConfigError` for a mistake in these parts.
    """
    content, _ = read_content(path, is_trusted=is_trusted)
    document = parse(content)
    if document.value is None:
        raise ConfigError(lines(document.issues, path, document.positions, {}))
    expansion = Expansion(environ, path, is_trusted)
    clients = _clients(document, expansion)
    ports = {name: _port(entry, name, expansion) for name, entry in _upstreams(document).items()}
    if expansion.issues:
        raise ConfigError(lines(expansion.issues, path, document.positions, {}))
    listen = listen_of(path, environ=environ, is_trusted=is_trusted)
    variables = frozenset(name.decode() for name in _VARIABLE.findall(content))
    return Outline(path, listen, clients, ports, variables)


def _upstreams(document: Document) -> dict[str, object]:
    """Return what stands below `upstreams`, without names that are none."""
    upstreams = (document.value or {}).get("upstreams")
    found = {}
    for name, entry in upstreams.items() if isinstance(upstreams, dict) else ():
        with suppress(ValidationError):
            found[_NAME.validate_python(name)] = entry
    return found


def _clients(document: Document, expansion: Expansion) -> Clients | None:
    value = {"clients": expansion.expand((document.value or {}).get("clients"), ("clients",))}
    if expansion.issues:
        return None
    try:
        return _Callers.model_validate(value).clients
    except ValidationError as error:
        expansion.issues += issues_of(error, value, _Callers)
        return None


def _port(entry: object, name: str, expansion: Expansion) -> int | None:
    """Return an own port; a wrong one is no proxy's, so that `sidekey check` tells of it."""
    written = entry.get("port") if isinstance(entry, dict) else None
    try:
        return _PORT.validate_python(expansion.expand(written, ("upstreams", name, "port")))
    except ValidationError:
        return None
