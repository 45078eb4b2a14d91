"""A client that costs little: `python -m benchmarks.client PORT PATH CONNECTIONS REQUESTS`.

It prints the seconds from the first request to the last answer. Every connection is kept, and asks
again as soon as it is answered.
"""

from __future__ import annotations

import asyncio
import sys
import time

HEAD = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: python-requests/2.32.5\r\n"
    "Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"
)


class Load:
    """How many requests are left, and whether all are answered."""

    def __init__(self, request: bytes, requests: int) -> None:
        self.request = request
        self.unsent = requests
        self.unanswered = requests
        self.done = asyncio.get_running_loop().create_future()


class Connection(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self) -> None:
        if self._load.unsent:
            self._load.unsent -= 1
            self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, content = self._received.partition(b"\r\n\r\n")
        if not end or len(content) < _length(head):
            return
        self._received = b""
        self._load.unanswered -= 1
        self.ask()
        if not self._load.unanswered:
            self._load.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._load.done.done():
            self._load.done.set_exception(ConnectionError("a connection was closed"))


def _length(head: bytes) -> int:
    """Return the length of a good answer's content; raise `ValueError` for any other answer."""
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ValueError(head.decode())
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


async def main(port: int, path: str, connections: int, requests: int) -> None:
    """Send `requests` requests over `connections` connections, and print the seconds."""
    loop = asyncio.get_running_loop()
    load = Load(HEAD.format(path=path, port=port).encode(), requests)
    opened = [
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
        for _ in range(connections)
    ]
    begun = time.perf_counter()
    for _, connection in opened:
        connection.ask()
    await load.done
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
