"""How a connection ends whose answer is not complete."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from aiohttp import web

NO_LINGERING = struct.pack("ii", 1, 0)  # on, for 0 seconds (SO_LINGER, socket(7))


def reset_at_close(request: web.BaseRequest, transport: asyncio.BaseTransport) -> None:
    """Let a client of HTTP/1.0, such as nginx, see that the answer to `request` is not whole.

    Where there is neither length nor chunks, it ends with the connection: only a reset is no proper
    end. A unix socket has none. Others are spared it: it can cost them what they have not read yet.
    """
    connection = transport.get_extra_info("socket")
    if request.version >= (1, 1) or connection.family == socket.AF_UNIX:
        return
    with contextlib.suppress(OSError):  # the client was quicker
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
