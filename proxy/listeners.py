"""Sockets: where requests arrive, who serves them, and how that ends."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Container, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

from aiohttp import web

from proxy.config.models import Listen, Settings
from proxy.errors import ListenError
from proxy.gateway.capacity import Capacity
from proxy.gateway.clients import Clients
from proxy.gateway.gateway import Gateway
from proxy.gateway.guard import (
    WILDCARDS,
    Guard,
    Listener,
    check_users_can_be_told,
    in_url,
    listener_of,
)
from proxy.gateway.parser import check_parser
from proxy.gateway.server import ClientServer

DRAIN = 5.0  # seconds that requests under way have to end when the proxy stops
OWNER, OPEN = 0o600, 0o666  # modes of a unix socket
BACKLOG = 1024  # connections that wait to be accepted


Bound = tuple[socket.socket, str | None]  # the upstream that alone answers there, if it is one's


@contextmanager
def bound(settings: Settings) -> Iterator[tuple[Bound, ...]]:
    """Bind every socket before the first one serves. Raises `ListenError`."""
    check_parser()
    listen = settings.listen
    with ExitStack() as stack:
        sockets: list[Bound] = [(_bind(listen, stack), None)]
        for name, upstream in settings.upstreams.items():
            if upstream.port is not None:
                sockets.append((_bind_tcp(listen.host, upstream.port, stack), name))
        yield tuple(sockets)


def addresses_of(sockets: Sequence[Bound]) -> tuple[str, ...]:
    """Return what clients call, as URLs or paths of sockets."""
    return tuple(_address(sock) for sock, _ in sockets)


async def listen(
    sockets: Sequence[Bound],
    settings: Settings,
    gateway: Gateway,
    clients: Clients,
    capacity: Capacity,
    stack: AsyncExitStack,
    *,
    is_fast: bool,
) -> dict[str, str]:
    """Serve the sockets, and return by upstream the URL where clients point their base URL.

    Only if `is_fast`, plain requests may take the fast lane.
    """
    listen = settings.listen
    urls = {}
    runners: list[web.ServerRunner] = []
    stack.push_async_callback(_drain, runners)
    for sock, upstream_name in sockets:
        guard = Guard(_listener(sock, upstream_name, listen, gateway.served), listen, clients)
        server = ClientServer(
            gateway.behind(guard),
            handler_cancellation=True,  # a client that leaves ends the work at the upstream
            timeouts=listen.timeouts,
            capacity=capacity,
            lane=gateway.fast_lane(guard) if is_fast else None,
        )
        runners.append(await _serve(sock, server))
        if upstream_name is not None:
            urls[upstream_name] = _address(sock)
    main = _address(sockets[0][0])
    return {name: f"{main}/{name}" for name in settings.upstreams} | urls


async def _serve(sock: socket.socket, server: ClientServer) -> web.ServerRunner:
    """Serve `sock` until the runner is cleaned up.

    asyncio accepts as many connections in a row as its backlog says. Without file descriptors it
    complains as often, and other work waits meanwhile: so its own is 1, and the socket's is not.
    """
    # aiohttp waits that long twice: before and after it cancels what is under way.
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=DRAIN / 2)
    await runner.setup()
    await web.SockSite(runner, sock, backlog=1).start()
    sock.listen(BACKLOG)
    return runner


async def _drain(runners: list[web.ServerRunner]) -> None:
    """End what is under way on every listener at once: a container is killed after 10 s."""
    await asyncio.gather(*(runner.cleanup() for runner in runners))


def _listener(
    sock: socket.socket, upstream: str | None, listen: Listen, served: Container[str]
) -> Listener:
    port = None if sock.family == socket.AF_UNIX else sock.getsockname()[1]
    return listener_of(listen, port, served, upstream)


def _bind(listen: Listen, stack: ExitStack) -> socket.socket:
    if listen.unix_socket is not None:
        if listen.allowed_uids:
            check_users_can_be_told()
        return _bind_unix(listen.unix_socket, OPEN if listen.allowed_uids else OWNER, stack)
    return _bind_tcp(listen.host, listen.port, stack)


def _bind_tcp(host: str, port: int, stack: ExitStack) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::"
        )
    except (OSError, UnicodeError) as error:
        why = _reason(error)
        raise ListenError(
            f"cannot listen on {in_url(host)}:{port}: {why}",
            fix="choose another port (--port 0 takes a free one), or stop what listens there",
        ) from None
    stack.callback(sock.close)
    return sock


def _bind_unix(path: Path, mode: int, stack: ExitStack) -> socket.socket:
    """Bind a socket; only one that was left behind is replaced.

    With `OPEN`, the guard asks the kernel for the user of each connection.
    """
    sock = socket.socket(socket.AF_UNIX)
    stack.callback(sock.close)
    mask = os.umask(0o777 & ~mode)
    try:
        _remove_abandoned(path)
        sock.bind(str(path))
    except OSError as error:
        raise ListenError(
            f"cannot listen on {path}: {_reason(error)}", fix="choose another path"
        ) from None
    finally:
        os.umask(mask)
    stack.callback(lambda: path.unlink(missing_ok=True))
    sock.listen(BACKLOG)
    return sock


def _remove_abandoned(path: Path) -> None:
    """Remove a socket that nobody serves any more; raise `OSError` if somebody does."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _address(sock: socket.socket) -> str:
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    if host in WILDCARDS:  # shown as something that a client can call
        host = "127.0.0.1"
    return f"http://{in_url(host)}:{port}"


def _reason(error: OSError | UnicodeError) -> str:
    """Return the reason without the address, which asyncio and socket repeat in their own."""
    if isinstance(error, UnicodeError):
        return "that is no host name"
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror or error)  # < 0: getaddrinfo
