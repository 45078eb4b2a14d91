"""Asks the running proxy, with nothing but the standard library: health checks must be cheap."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

from proxy.config.models import Listen

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


def ask(listen: Listen, path: str) -> bytes | None:
    """Return what the proxy answers at `path`, `None` if it does not answer 200."""
    connection = _connection(listen)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        content = response.read()
        return content if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _connection(listen: Listen) -> http.client.HTTPConnection:
    if listen.unix_socket is not None:
        return _UnixConnection(listen.unix_socket)
    host = LOOPBACK.get(listen.host, listen.host)
    return http.client.HTTPConnection(host, listen.port, timeout=TIMEOUT)
