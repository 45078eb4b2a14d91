"""Who may talk to us.

A page that rebinds its name to 127.0.0.1 is betrayed by Host only, a page that posts across sites
by Origin and Sec-Fetch-Site only: both are checked, for every method.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from multidict import CIMultiDictProxy

from proxy.errors import BadTarget, CrossSiteRefused, HostRefused

HTTP_1_1 = "use a client that speaks HTTP/1.1 by the book (RFC 9112)"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(?P<name>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Listener:
    """One place where requests arrive.

    `port` is `None` for a unix socket. `upstream` is set where the listener serves only that one.
    `names` are the hosts that it answers to, in lower case, some with a port of their own.
    """

    port: int | None
    names: frozenset[str]
    upstream: str | None = None

    def answers_to(self, name: str, port: int | None) -> bool:
        """Tell whether `name:port` of a Host field means this listener."""
        if f"{name}:{port}" in self.names:
            return True
        return name in self.names and (self.port is None or port == self.port)


def check_host(headers: CIMultiDictProxy[str], listener: Listener) -> str:
    """Return the host name that the client used; raise `HostRefused` if it is not ours.

    The field itself is read: aiohttp's `request.host` falls back to the socket's address when it is
    missing, and follows an absolute target before it.
    """
    fields = headers.getall("Host", [])
    if len(fields) != 1:
        raise BadTarget("the request must have exactly one Host field", fix=HTTP_1_1)
    match = _HOST.fullmatch(fields[0].strip().lower())
    if match is None:
        raise BadTarget("the Host field is malformed", fix=HTTP_1_1)
    name = match["name"].removesuffix(".")
    port = int(match["port"]) if match["port"] else (None if listener.port is None else 80)
    if not listener.answers_to(name, port):
        raise HostRefused(
            "the Host field names another server than this one",
            fix="call http://localhost, with the port of sidekey if it has one,"
            " or add the name to listen.allowed_hosts",
        )
    return name


def check_framing(headers: CIMultiDictProxy[str], version: tuple[int, int]) -> None:
    """Raise `BadTarget` for transfer codings that aiohttp would half undo (RFC 9112 6.1)."""
    codings = headers.getall("Transfer-Encoding", [])
    if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
        raise BadTarget("the only transfer coding that is understood is chunked", fix=HTTP_1_1)
    if codings and version < (1, 1):
        raise BadTarget("HTTP/1.0 knows no transfer coding", fix=HTTP_1_1)


def check_site(headers: CIMultiDictProxy[str]) -> None:
    """Raise `CrossSiteRefused` for a request that a web page of another origin caused."""
    if "Origin" in headers:
        raise CrossSiteRefused("requests of web pages are refused: they would use your credentials")
    if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise CrossSiteRefused("a web page of another site caused this request")
