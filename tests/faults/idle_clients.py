"""Clients that ask once and stay: `python idle_clients.py PORT COUNT`, in a process of its own.

Two ends of 10,000 connections need more files than one process may have open. It says `standing`
and the number of connections that are open, and again for each line that it reads.
"""

from __future__ import annotations

import resource
import select
import socket
import sys

ASKED = b"GET /_sidekey/healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n"


def connect(port: int) -> socket.socket:
    """Connect, ask, and read the answer."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(ASKED % port)
    assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    return sock


def count_open(sockets: list[socket.socket]) -> int:
    """Return how many have not been closed by the other end."""
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLIN)
    return len(sockets) - len(poll.poll(0))


def main(port: int, count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sockets = [connect(port) for _ in range(count)]
    print("standing", count_open(sockets), flush=True)
    for _ in sys.stdin:
        print("standing", count_open(sockets), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
