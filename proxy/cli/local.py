"""Asks the running proxy, with nothing but the standard library: health checks must be cheap."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

from proxy.config.models import Clients, Listen

TIMEOUT = 5.0  # seconds
ERROR_FIELD = (
    "Sidekey-Error"  # stands in each refusal of a proxy; its own constant takes long to import
)
SHOWN = {401: "clients.keys", 412: "clients.header"}  # what each of these refusals misses
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where to call what listens there


class NoAnswer(Exception):
    """What was asked for is not to be had there; the text says who answers instead, if anybody."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(str(self._path))


def ask(listen: Listen, path: str, member: str, *, clients: Clients | None = None) -> Any:
    """Return that member of the proxy's JSON answer at `path`. Raises `NoAnswer`.

    Another program may listen there, and answer 200 to everything.
    """
    try:
        with closing(_connection(listen)) as connection:
            connection.request("GET", path, headers=_credential(clients))
            response = connection.getresponse()
            members = _members(response)
    except (OSError, UnicodeError, http.client.InvalidURL):  # or a host that is no host name
        raise NoAnswer(f"no proxy answers at {address(listen)}") from None
    except http.client.HTTPException:
        raise NoAnswer(another_program(listen)) from None
    if ERROR_FIELD in response.headers:
        raise NoAnswer(_refusal(listen, clients, response.status))
    if response.status != 200 or member not in members:
        raise NoAnswer(another_program(listen))
    return members[member]


def address(listen: Listen) -> str:
    """Return where `ask` asks, for a message."""
    return str(listen.unix_socket or f"{listen.host}:{listen.port}")


def another_program(listen: Listen) -> str:
    """Return what to say of an answer that no proxy gives."""
    return f"something other than sidekey answers at {address(listen)}"


def _members(response: http.client.HTTPResponse) -> dict[str, Any]:
    """Return the JSON object that was answered, empty if it is something else."""
    try:
        members = json.loads(response.read())
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def _refusal(listen: Listen, clients: Clients | None, status: int) -> str:
    """Return what to say of a proxy that does not tell what it was asked."""
    proxy = f"the proxy at {address(listen)}"
    if status not in SHOWN:
        return f"{proxy} refuses to tell ({status})"
    if clients is None:
        return f"{proxy} asks for {SHOWN[status]}, which this configuration lacks ({status})"
    shown = "keys" if clients.header is None else "header"
    return f"{proxy} refuses this configuration's clients.{shown} ({status})"


def _credential(clients: Clients | None) -> dict[str, str]:
    """Return the field by which the proxy knows its clients."""
    if clients is None:
        return {}
    if clients.header is not None:
        return {clients.header.name: clients.header.value.reveal()}
    return {"Authorization": f"Bearer {clients.keys[0].reveal()}"}


def _connection(listen: Listen) -> http.client.HTTPConnection:
    if listen.unix_socket is not None:
        return _UnixConnection(listen.unix_socket)
    host = LOOPBACK.get(listen.host, listen.host)
    return http.client.HTTPConnection(host, listen.port, timeout=TIMEOUT)
