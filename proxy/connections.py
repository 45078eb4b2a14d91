"""Connections that send what they are told and nothing else, and believe only proper HTTP/1.

aiohttp's defaults follow redirects, keep cookies, inflate answers and add fields of their own; each
of these was measured to corrupt a message or to carry a credential to another host. It also takes
answers of which nobody can say where they end, or to which request they belong.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.client_proto import ResponseHandler
from cachetools import LRUCache
from multidict import CIMultiDictProxy
from yarl import URL

AUTOMATIC_FIELDS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
FIELD_LIMIT = 64 * 1024  # bytes of one field of an answer; real ones carry tokens of 16 kB
DNS_LIFETIME = 10  # seconds
TLS_SESSIONS = 256  # hosts whose TLS session is kept for the next connection
NEVER_CALLED = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/32",
            "::/128",  # unspecified: another name of this machine
            "169.254.0.0/16",
            "fe80::/10",  # link-local: the metadata services of clouds, which hand out credentials
            "fd00:ec2::/32",  # the same of AWS
            "fd20:ce::254/128",  # the same of Google Cloud
            "100.100.100.200/32",  # the same of Alibaba Cloud
            "192.0.0.192/32",  # the same of Oracle Cloud
            "168.63.129.16/32",  # the same of Azure
            "224.0.0.0/4",
            "ff00::/8",  # multicast
        ),
    )
)
LOCAL_TRANSLATION = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215
EMBEDDING = (  # IPv6 networks whose addresses hold one of IPv4, and how many bits follow it
    (ipaddress.ip_network("::ffff:0:0/96"), 0),
    (ipaddress.ip_network("::/96"), 0),  # RFC 4291 2.5.5.1
    (ipaddress.ip_network("64:ff9b::/96"), 0),  # RFC 6052
    (LOCAL_TRANSLATION, 0),
    (ipaddress.ip_network("2002::/16"), 80),  # 6to4: RFC 3056
)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(OSError):
    """The host has an address that is never called."""


class ImproperAnswer(aiohttp.ClientError):
    """An answer that aiohttp takes, and that is no proper HTTP/1."""


class ImproperProxy(aiohttp.ClientError):
    """What the environment names as the proxy on the way is none."""


def open_session(timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """Return a session without cookies, decompression, automatic fields and ambient credentials.

    The number of connections is not limited here: 100 open event streams, aiohttp's default limit,
    would block every other request. A request raises `aiohttp.ClientError` of which the cause is
    `AddressRefused`, or which is `ImproperAnswer`, beside what aiohttp raises itself.
    """
    return aiohttp.ClientSession(
        connector=Connector(),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=AUTOMATIC_FIELDS,
        timeout=timeout,
        trust_env=False,  # it would also read ~/.netrc and send what it finds there
        max_line_size=FIELD_LIMIT,
        max_field_size=FIELD_LIMIT,
        middlewares=(_only_proper_answers,),
    )


def forward_proxy(url: str) -> str | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for `url`, if any.

    None leads to an address that is never called: on the direct way it is refused.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    if parts.scheme not in proxies or proxy_bypass(parts.netloc) or _is_refused(parts.hostname):
        return None
    proxy = proxies[parts.scheme]
    return proxy if "://" in proxy else f"http://{proxy}"  # as for curl and requests


def proxy_url(proxy: str | None) -> URL | None:
    """Return a forward proxy as aiohttp wants it; raise `ImproperProxy` for what is none."""
    if proxy is None:
        return None
    try:
        url = URL(proxy)
        if url.host and url.port:
            return url
    except ValueError:
        pass
    raise ImproperProxy


def _is_refused(host: str | None) -> bool:
    """Tell whether `host` is an address that is never called; names are left to the resolver."""
    address = _address(host or "")
    if address is None:
        return False
    spelled = (address, *_embedded(address))
    return any(each in network for each in spelled for network in NEVER_CALLED)


def _address(host: str) -> Address | None:
    """Return the address that `host` spells, in any of the spellings that the system knows."""
    with suppress(ValueError):
        return ipaddress.ip_address(host)
    with suppress(OSError):
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))  # 0xa9fea9fe, 169.16689662
    return None


def _embedded(address: Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that a translator or tunnel may call for an IPv6 address."""
    found = (int(address) >> shift for network, shift in EMBEDDING if address in network)
    embedded = [ipaddress.IPv4Address(bits & 0xFFFFFFFF) for bits in found]
    if address not in LOCAL_TRANSLATION:
        return embedded
    head, tail = divmod(int(address), 1 << 64)
    bits = (head << 56) | (tail & ((1 << 56) - 1))  # without the octet that RFC 6052 keeps free
    shorter = [bits >> shift & 0xFFFFFFFF for shift in (40, 32, 24)]  # prefixes of 48, 56, 64 bits
    return embedded + [ipaddress.IPv4Address(each) for each in shorter if each]


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket for one address, the last thing before it is connected.

    Whatever the resolver says and when it says it, this is the address that is called.
    """
    family, kind, protocol, _, where = address
    if _is_refused(str(where[0])):
        raise AddressRefused("an address that is never called")
    return socket.socket(family, kind, protocol)


class Connector(aiohttp.TCPConnector):
    """Makes connections that speak `protocol`, to addresses that may be called."""

    def __init__(self, protocol: type[AnswerProtocol] | None = None) -> None:
        super().__init__(limit=0, ttl_dns_cache=DNS_LIFETIME, socket_factory=_socket)
        factory: Callable[..., ResponseHandler] = protocol or AnswerProtocol
        self._factory = functools.partial(factory, loop=asyncio.get_running_loop())


class AnswerProtocol(ResponseHandler):
    """aiohttp's side of a connection, which as of 3.14.5 mixes up answers and waits for ever.

    What it relies on is semi-public; `tests/faults` fails if it changes.
    """

    def is_connected(self) -> bool:
        """Tell whether the next request may use this connection.

        Not if more came than was asked for: that would be taken for the next request's answer, and
        the next client would get it.
        """
        return super().is_connected() and not self.should_close

    def data_received(self, data: bytes) -> None:
        """Take bytes; if they are no HTTP, the reader of the content would wait for ever."""
        content = self._payload
        super().data_received(data)
        if self.exception() is not None:
            _break(content)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End; if by a reset, content without a length would look as if it were whole."""
        if exc is not None:
            _break(self._payload)
        super().connection_lost(exc)


def _break(content: aiohttp.StreamReader | None) -> None:
    if content is not None and not content.is_eof():
        content.set_exception(aiohttp.ClientPayloadError())


class ResumingContext(ssl.SSLContext):
    """Offers each host the TLS session of the last connection to it (RFC 8446 2.2)."""

    sessions: LRUCache[str, ssl.SSLSession]

    def wrap_bio(  # what asyncio begins every connection with
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        session = session or self.sessions.get(str(server_hostname))
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def keep_session(self, connection: ssl.SSLObject) -> None:
        """Keep the session that the server has handed out on `connection`, if it has."""
        if connection.session is not None and connection.server_hostname is not None:
            self.sessions[connection.server_hostname] = connection.session


@functools.cache  # reading the certificates takes 10 ms
def tls_context() -> ResumingContext:
    """Return what upstreams are verified with: the certificates that the system trusts."""
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sessions = LRUCache(TLS_SESSIONS)
    context.load_default_certs()
    context.verify_flags = ssl.create_default_context().verify_flags  # stricter from 3.13 on
    context.set_alpn_protocols(("http/1.1",))
    return context


async def _only_proper_answers(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    answer = await send(request)
    if not is_proper(answer.version, answer.status, answer.headers):
        answer.close()
        raise ImproperAnswer
    return answer


def is_proper(
    version: aiohttp.HttpVersion | None, status: int, headers: CIMultiDictProxy[str]
) -> bool:
    """Tell whether what aiohttp takes is an answer (RFC 9112 2.3, 5.1 and 6.1, RFC 9110 15)."""
    coding = [value.strip().lower() for value in headers.getall("Transfer-Encoding", ())]
    return (
        version in (aiohttp.HttpVersion10, aiohttp.HttpVersion11)
        and (200 <= status <= 599 or status == 101)
        and (not coding or (coding == ["chunked"] and version == aiohttp.HttpVersion11))
        and not any(" " in name or "\t" in name for name in headers)
    )
