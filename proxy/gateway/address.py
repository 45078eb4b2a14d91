"""Where a request arrives that a client sends to a URL. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.config.models import Listen, Settings
from proxy.errors import ConfigError
from proxy.gateway.framing import target_of
from proxy.gateway.guard import (
    OWN_HOST_SUFFIX,
    WILDCARDS,
    Listener,
    in_url,
    listener_of,
)
from proxy.notation import origin_of
from proxy.refusals import UnknownUpstream

_URL = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#]+)(?P<target>[^#]*)", re.IGNORECASE)
_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:@]*)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """The listener that a request arrives at, what its Host field says, and its raw target."""

    listener: Listener
    host: str
    target: str

    @property
    def url(self) -> str:
        """The URL that a client calls."""
        return f"http://{self.host}{self.target}"


def address_of(settings: Settings, url: str) -> Address:
    """Return where a request to `url` arrives: a local URL, only its path, or that of an API.

    Raises `ConfigError` for what is no such URL, and `UnknownUpstream` for another server's.
    """
    if url.startswith("/"):
        return _at_main(settings, url.partition("#")[0])
    found = _URL.match(url)
    place = _HOST.fullmatch(found["host"]) if found is not None else None
    unusable = ConfigError(["URL: expected one such as /NAME/rest or http://127.0.0.1:8080/NAME"])
    if found is None or place is None:
        raise unusable
    target = found["target"] if found["target"].startswith("/") else f"/{found['target']}"
    try:
        name = _upstream_of(settings, url, target.partition("?")[0])
    except ValueError:  # brackets without an address in them
        raise unusable from None
    if name is not None:
        return _standing_for(settings, name, target)
    listener = _listener_at(settings, place["name"].lower(), int(place["port"] or 80))
    if found["scheme"].lower() == "https" or listener is None:
        known = ", ".join(dict.fromkeys(one.base_url for one in settings.upstreams.values()))
        raise UnknownUpstream(
            f"neither sidekey nor an upstream is at {found['scheme']}://{found['host']}",
            fix=f"call sidekey by http, or an API by the URL of its upstream: {known}",
        )
    return Address(listener, found["host"], target)


def _at_main(settings: Settings, target: str) -> Address:
    port = None if settings.listen.unix_socket is not None else settings.listen.port
    listener = listener_of(settings.listen, port, settings.upstreams)
    host = "localhost" if port is None else _host(settings.listen, port)
    return Address(listener, host, target)


def _standing_for(settings: Settings, name: str, target: str) -> Address:
    """Return the local address for the `target` of an API's URL, which is below the base URL."""
    upstream = settings.upstreams[name]
    path, _, query = target.removeprefix(urlsplit(upstream.base_url).path).partition("?")
    if upstream.port is None:
        return _at_main(settings, target_of(f"/{name}{path}", query))
    listener = listener_of(settings.listen, upstream.port, settings.upstreams, name)
    host = _host(settings.listen, upstream.port)
    return Address(listener, host, target_of(path, query))


def _upstream_of(settings: Settings, url: str, path: str) -> str | None:
    """Return the upstream that leads to an API's `url`, the one with the longest base URL."""
    fitting = {
        name: upstream.base_url
        for name, upstream in settings.upstreams.items()
        if origin_of(upstream.base_url) == origin_of(url)
        and f"{path}/".startswith(f"{urlsplit(upstream.base_url).path}/")
    }
    return max(fitting, key=lambda name: len(fitting[name]), default=None)


def _listener_at(settings: Settings, name: str, port: int) -> Listener | None:
    """Return the listener at a port, or else the one that a local name means at any port."""
    listen = settings.listen
    for upstream_name, upstream in settings.upstreams.items():
        if upstream.port == port:
            return listener_of(listen, port, settings.upstreams, upstream_name)
    main_port = None if listen.unix_socket is not None else listen.port or port
    main = listener_of(listen, main_port, settings.upstreams)
    is_local = name in main.names or name.endswith(OWN_HOST_SUFFIX) or main.answers_to(name, port)
    return main if is_local or port == main_port else None


def _host(listen: Listen, port: int) -> str:
    host = "127.0.0.1" if listen.host in WILDCARDS else in_url(listen.host)
    return f"{host}:{port}"
