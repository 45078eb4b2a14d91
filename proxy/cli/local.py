"""Asks the running proxy, with nothing but the standard library: health checks must be cheap."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from proxy.config.models import Clients, Listen

TIMEOUT = 5.0  # seconds
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where to call what listens there


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(str(self._path))


def ask(listen: Listen, path: str, member: str, *, clients: Clients | None = None) -> Any:
    """Return that member of the proxy's JSON answer at `path`; `None` if no proxy answers so.

    Another program may listen there, and answer 200 to everything.
    """
    connection = _connection(listen)
    try:
        connection.request("GET", path, headers=_credential(clients))
        response = connection.getresponse()
        answer = json.loads(response.read())
        return answer.get(member) if response.status == 200 and isinstance(answer, dict) else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def address(listen: Listen) -> str:
    """Return where `ask` asks, for a message."""
    return str(listen.unix_socket or f"{listen.host}:{listen.port}")


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
