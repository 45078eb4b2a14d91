"""Who may talk to us: the checks of one request, in order; the first that fails decides.

Layer by layer: the peer, HTTP and Host, the method, the web page behind the request, other proxies,
and the client's own credential. A page that rebinds its name to 127.0.0.1 is betrayed by Host only,
a page that posts across sites by Origin and Sec-Fetch-Site only: all are checked, for every method.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import struct
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from aiohttp import web
from multidict import CIMultiDictProxy

from proxy.config.models import Listen
from proxy.errors import ListenError
from proxy.gateway.clients import Clients
from proxy.gateway.head import Head
from proxy.gateway.target import Target, parse
from proxy.refusals import BadMessage, CrossSiteRefused, HostRefused, MethodNotAllowed, PeerRefused

OWN_HOST_SUFFIX = ".localhost"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound to
ECHOING_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})  # TRACE would echo the credential
THROUGH_A_PROXY = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
)
ROOT = 0
LAST_PORT = 65535
LOGIN_CALLBACK = re.compile(r"/_sidekey/login/[a-z0-9][a-z0-9-]{0,62}/callback")
_HOST = re.compile(r"(?P<name>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_UCRED = struct.Struct("3i")  # pid, uid, gid (Linux, unix(7))


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """One place where requests arrive; there is no other one that is equal.

    `port` is `None` for a unix socket. `upstream` is set where the listener serves only that one.
    `names` are the hosts that it answers to, in lower case, some with a port of their own; beside
    them it answers to `NAME.localhost` for each name in `served`, which may change later.
    """

    port: int | None
    names: frozenset[str]
    served: Container[str]
    upstream: str | None = None

    def answers_to(self, name: str, port: int | None) -> bool:
        """Tell whether `name:port` of a Host field means this listener."""
        if f"{name}:{port}" in self.names:
            return True
        return self._is_named(name) and (self.port is None or port == self.port)

    def _is_named(self, name: str) -> bool:
        if name in self.names:
            return True
        return name.endswith(OWN_HOST_SUFFIX) and name.removesuffix(OWN_HOST_SUFFIX) in self.served


def listener_of(
    listen: Listen, port: int | None, served: Container[str], upstream: str | None = None
) -> Listener:
    """Return the listener at `port` that answers for `served`, or for the one `upstream`."""
    names = [*LOOPBACK_NAMES, *listen.allowed_hosts]
    if listen.host not in WILDCARDS:
        names.append(in_url(listen.host))
    own = served if upstream is None else (upstream,)
    return Listener(port, frozenset(name.lower() for name in names), own, upstream)


def in_url(host: str) -> str:
    """Return a host as it stands in a URL and in a Host field: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Caller:
    """What the guard learned about who calls.

    `known` is false for a client that has not shown yet that it may call: a phantom key still can,
    and some pages are for everybody. It is false for a browser that is `returning` from a sign-in,
    too, which no other target would excuse. `navigating` is a browser that opens a page, where it
    may not. `origin` is that of a web page that may call;
    `preflight` is its browser asking whether it may.
    """

    host: str
    target: Target
    known: bool
    navigating: bool = False
    preflight: bool = False
    returning: bool = False
    origin: str | None = None


class Guard:
    """Checks the requests that arrive at one listener."""

    def __init__(self, listener: Listener, listen: Listen, clients: Clients) -> None:
        self.listener = listener
        self._listen = listen
        self._clients = clients

    def check(self, request: web.BaseRequest) -> Caller:
        """Return who calls; raise the `ClientError` of the first check that fails."""
        self._check_peer(request)
        return self.check_head(request)

    def check_head(self, request: Head) -> Caller:
        """Check what stands in the head, whoever the peer is."""
        headers = request.headers
        check_framing(headers, request.version)
        host = check_host(headers, self.listener)
        target = parse(request.raw_path)
        if request.method in ECHOING_METHODS:
            raise MethodNotAllowed(f"{request.method} is refused")
        returning = is_login_callback(request.method, target)
        if returning and is_led_here(headers):
            origin = None
        else:
            origin = check_site(headers, self._listen.allowed_origins)
        preflight = is_preflight(request)
        if preflight and origin is None:
            raise CrossSiteRefused("preflights are answered here, and this page may not call")
        if not self._listen.front_proxy:
            check_direct(headers)
        return Caller(
            host=host,
            target=target,
            known=not (preflight or returning) and self._clients.shown_by_header(headers),
            navigating=is_navigation(headers) and not self._listen.browser_navigation,
            preflight=preflight,
            returning=returning,
            origin=origin,
        )

    def _check_peer(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is None:
            return  # the client has left already
        if self.listener.port is None:
            _check_user(transport.get_extra_info("socket"), self._listen.allowed_uids)
            return
        peer = transport.get_extra_info("peername")
        own = transport.get_extra_info("sockname")
        if not peer or not own or (peer[0] != own[0] and not self._may_connect(peer[0])):
            raise PeerRefused(
                "this address may not connect", fix="add its network to listen.allowed_peers"
            )

    @cached_property
    def _may_connect(self) -> Callable[[str], bool]:
        networks = [ipaddress.ip_network(network) for network in self._listen.allowed_peers]

        @lru_cache(maxsize=1024)
        def check(host: str) -> bool:
            address = ipaddress.ip_address(host.partition("%")[0])
            mapped = getattr(address, "ipv4_mapped", None)
            address = mapped or address
            return address.is_loopback or any(address in network for network in networks)

        return check


def check_host(headers: CIMultiDictProxy[str], listener: Listener) -> str:
    """Return the host name that the client used; raise `HostRefused` if it is not ours.

    The field itself is read: aiohttp's `request.host` falls back to the socket's address when it is
    missing, and follows an absolute target before it.
    """
    fields = headers.getall("Host", [])
    if len(fields) != 1:
        raise BadMessage("the request must have exactly one Host field")
    match = _HOST.fullmatch(fields[0].strip(" \t"))  # before `lower` turns a Kelvin sign into a k
    if match is None or int(match["port"] or 0) > LAST_PORT:
        raise BadMessage("the Host field is malformed")
    name = match["name"].lower().removesuffix(".")
    port = int(match["port"]) if match["port"] else (None if listener.port is None else 80)
    if not listener.answers_to(name, port):
        raise HostRefused(
            "the Host field names another server than this one",
            fix="call http://localhost, with the port of sidekey if it has one,"
            " or add the name to listen.allowed_hosts",
        )
    return name


def check_framing(headers: CIMultiDictProxy[str], version: tuple[int, int]) -> None:
    """Raise `BadMessage` for what aiohttp would let through, or half undo (RFC 9112 2.3, 6.1)."""
    if version not in ((1, 0), (1, 1)):
        raise BadMessage("this server speaks HTTP/1.1 and HTTP/1.0", status=505)
    codings = headers.getall("Transfer-Encoding", [])
    if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
        raise BadMessage("the only transfer coding that is understood is chunked", status=501)
    if codings and version < (1, 1):
        raise BadMessage("HTTP/1.0 knows no transfer coding")
    if headers.get("Expect", "100-continue").strip().lower() != "100-continue":
        raise BadMessage("the only expectation that is understood is 100-continue", status=417)


def check_site(headers: CIMultiDictProxy[str], allowed: Sequence[str]) -> str | None:
    """Return the allowed origin of the web page that calls, `None` if none does or it is our own.

    Raises `CrossSiteRefused` for a page of any other origin. The Host field has been checked, so
    an origin that equals it is a page of our own.
    """
    origins = headers.getall("Origin", [])
    if len(origins) == 1 and origins[0] in allowed:
        return origins[0]
    if origins and origins != [f"http://{headers['Host'].strip().lower()}"]:
        raise CrossSiteRefused(
            "requests of web pages are refused: they would use your credentials",
            fix="call it from a program of your own, or add the page to listen.allowed_origins",
        )
    if any(site not in ("none", "same-origin") for site in headers.getall("Sec-Fetch-Site", [])):
        raise CrossSiteRefused("a web page of another site caused this request")
    return None


def is_login_callback(method: str, target: Target) -> bool:
    """Tell whether a browser may come back here from a sign-in page, without a client's credential.

    What it then brings along is known to that sign-in alone, and without it nothing happens.
    """
    return method == "GET" and LOGIN_CALLBACK.fullmatch(target.path) is not None


def is_led_here(headers: CIMultiDictProxy[str]) -> bool:
    """Tell whether a page of another site leads its reader here: a whole window, and by GET.

    Frames, fetches and prefetches are not: a page that stays can learn from them, or try often.
    """
    return (
        "Origin" not in headers
        and "Sec-Purpose" not in headers
        and headers.getall("Sec-Fetch-Site", []) in (["cross-site"], ["same-site"])
        and headers.getall("Sec-Fetch-Mode", []) == ["navigate"]
        and headers.getall("Sec-Fetch-Dest", []) == ["document"]
    )


def is_navigation(headers: CIMultiDictProxy[str]) -> bool:
    """Tell whether a browser opens a page: typed, from a bookmark, or a link in another program."""
    return headers.get("Sec-Fetch-Site") == "none" and headers.get("Sec-Fetch-Mode") == "navigate"


def is_preflight(request: Head) -> bool:
    """Tell whether a browser asks what a page of another origin may do (Fetch, CORS preflight)."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def check_direct(headers: CIMultiDictProxy[str]) -> None:
    """Raise `PeerRefused` for a request that came through another proxy, as IMDSv2 does.

    Whoever can reach an open proxy of this machine, or trick a server here into a request, would
    be taken for a local client.
    """
    for name in THROUGH_A_PROXY:
        if name in headers:
            raise PeerRefused(
                "the request came through another proxy",
                fix="call sidekey directly, or set listen.front_proxy: true",
            )


def check_users_can_be_told() -> None:
    """Raise `ListenError` where the kernel does not tell which user connects (macOS)."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise ListenError(
            "listen.allowed_uids needs a kernel that tells who connects, such as Linux",
            fix="remove listen.allowed_uids: the socket is then its owner's alone",
        )


def _check_user(sock: socket.socket, allowed: Sequence[int]) -> None:
    """Raise `PeerRefused` for a user that may not use the unix socket, whatever its mode says."""
    if not hasattr(socket, "SO_PEERCRED"):
        return  # the mode of the socket keeps others out
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if uid not in (os.getuid(), ROOT, *allowed):
        raise PeerRefused("this user may not connect", fix="add its id to listen.allowed_uids")
