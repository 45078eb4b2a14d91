"""The proxies that are compared: how each is found, configured and started.

All of them inject the same credential, keep connections to the upstream, buffer nothing, run as one
worker or thread, and check the upstream's certificate.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.site import CREDENTIAL, Site

STREAMING = "proxy_buffering off; proxy_request_buffering off;"
BUFFERED = "proxy_buffers 64 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 256k;"
PATHS = os.environ.get("BENCHMARK_PATH", "")  # folders with peers that are not on $PATH


@dataclass(frozen=True)
class Start:
    """A command, its environment beyond ours, and where it answers."""

    argv: list[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    plain: str = ""  # path prefixes of the plain and the TLS upstream, and of the websocket
    secure: str = ""
    sockets: str = "/sockets"
    injected: str = ""  # where the credential goes into JSON, if it can


@dataclass(frozen=True)
class Peer:
    """A proxy by its `name`; `start(site, port, port_tls)` says how it is started."""

    name: str
    program: str
    start: Callable[[Site, int, int], Start]
    one_upstream: bool = False  # it serves no TLS upstream beside the plain one
    module: str | None = None  # of node

    def missing(self) -> str | None:
        """Return why it cannot take part, `None` if it can."""
        if _found(self.program) is None:
            return f"{self.program} is not installed"
        if self.module is not None and not _has_module(self.module):
            return f"node has no module {self.module}"
        return None


def _found(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=PATHS)


def _has_module(name: str) -> bool:
    argv = ["node", "-e", f"require('{name}')"]
    environ = {**os.environ, "NODE_PATH": PATHS}
    return not subprocess.run(argv, env=environ, capture_output=True, check=False).returncode


def _path_of(program: str) -> str:
    found = _found(program)
    assert found is not None
    return found


def _nginx(name: str, buffering: str) -> Callable[[Site, int, int], Start]:
    def start(site: Site, port: int, port_tls: int) -> Start:
        path = site.render(
            "nginx.conf",
            to=f"{name}.conf",
            NAME=name,
            PORT=port,
            PORT_TLS=port_tls,
            BUFFERING=buffering,
        )
        return Start([_path_of("nginx"), "-c", str(path)])

    return start


def _haproxy(site: Site, port: int, port_tls: int) -> Start:
    path = site.render("haproxy.cfg", PORT=port, PORT_TLS=port_tls)
    return Start([_path_of("haproxy"), "-db", "-f", str(path)])


def _caddy(site: Site, port: int, port_tls: int) -> Start:
    path = site.render("Caddyfile", PORT=port, PORT_TLS=port_tls)
    argv = [_path_of("caddy"), "run", "--config", str(path), "--adapter", "caddyfile"]
    return Start(argv, {"GOMAXPROCS": "1", "HOME": str(site.folder)})


def _node(site: Site, port: int, port_tls: int) -> Start:
    path = site.render("http-proxy.js", PORT=port, PORT_TLS=port_tls)
    return Start([_path_of("node"), str(path)], {"NODE_PATH": PATHS})


def _mitmproxy(site: Site, port: int, _port_tls: int) -> Start:
    addon = site.render("mitmproxy_inject.py")
    options = ["connection_strategy=lazy", "http2=false", "flow_detail=0"]
    argv = [_path_of("mitmdump"), "-q", "-s", str(addon), "--listen-host", "127.0.0.1"]
    argv += ["-p", str(port), "--mode", f"reverse:http://127.0.0.1:{site.backend}"]
    argv += [word for option in options for word in ("--set", option)]
    return Start(argv, {"HOME": str(site.folder)})


def _envoy(site: Site, port: int, port_tls: int) -> Start:
    path = site.folder / "envoy.json"
    path.write_text(json.dumps(envoy_configuration(site, port, port_tls)))
    argv = [_path_of("envoy"), "-c", str(path), "--concurrency", "1", "-l", "error"]
    return Start([*argv, "--disable-hot-restart"])


def _aiohttp(site: Site, port: int, _port_tls: int) -> Start:
    argv = [sys.executable, "-m", "benchmarks.plain_aiohttp", str(port), str(site.backend)]
    return Start(argv, {"CREDENTIAL": CREDENTIAL})


def _sidekey(*options: str) -> Callable[[Site, int, int], Start]:
    def start(site: Site, port: int, _port_tls: int) -> Start:
        path = site.render("upstreams.yaml", to=f"sidekey-{port}.yaml", PORT=port)
        environ = {
            "BENCHMARK_KEY": CREDENTIAL.removeprefix("Bearer "),
            "SSL_CERT_FILE": str(site.folder / "certificate.pem"),
            "XDG_STATE_HOME": str(site.folder / "state"),
        }
        argv = [str(Path(sys.executable).with_name("sidekey")), "run", "--config", str(path)]
        return Start([*argv, *options], environ, "/plain", "/secure", "/sockets/", "/injected")

    return start


def _type(name: str, **members: object) -> dict[str, object]:
    return {"@type": f"type.googleapis.com/envoy.extensions.{name}", **members}


def envoy_configuration(site: Site, port: int, port_tls: int) -> dict[str, object]:
    """Return Envoy's bootstrap, with its credential injector on both listeners."""
    secret = {"name": "credential", "generic_secret": {"secret": {"inline_string": CREDENTIAL}}}
    return {
        "static_resources": {
            "listeners": [_listener(port, "plain"), _listener(port_tls, "secure")],
            "clusters": [
                _cluster("plain", site.backend),
                _cluster("sockets", site.sockets),
                _cluster("secure", site.backend_tls) | {"transport_socket": _tls(site)},
            ],
            "secrets": [secret],
        }
    }


def _listener(port: int, cluster: str) -> dict[str, object]:
    forward = {"cluster": cluster, "timeout": "0s", "host_rewrite_literal": "localhost"}
    routes: list[object] = [{"match": {"prefix": "/"}, "route": forward}]
    if cluster == "plain":
        route = {"cluster": "sockets", "timeout": "0s"}
        routes.insert(0, {"match": {"path": "/sockets"}, "route": route})
    host = {"name": "all", "domains": ["*"], "routes": routes}
    injector = _type(
        "filters.http.credential_injector.v3.CredentialInjector",
        overwrite=True,
        credential={
            "name": "envoy.http.injected_credentials.generic",
            "typed_config": _type(
                "http.injected_credentials.generic.v3.Generic",
                credential={"name": "credential"},
                header="Authorization",
            ),
        },
    )
    manager = _type(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=cluster,
        codec_type="HTTP1",
        generate_request_id=False,
        upgrade_configs=[{"upgrade_type": "websocket"}],
        route_config={"name": cluster, "virtual_hosts": [host]},
        http_filters=[
            {"name": "envoy.filters.http.credential_injector", "typed_config": injector},
            {
                "name": "envoy.filters.http.router",
                "typed_config": _type("filters.http.router.v3.Router"),
            },
        ],
    )
    chain = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": cluster, "address": address, "filter_chains": [chain]}


def _cluster(name: str, port: int) -> dict[str, object]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    many = {"max_connections": 16384, "max_pending_requests": 16384, "max_requests": 16384}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _tls(site: Site) -> dict[str, object]:
    trusted = {"filename": str(site.folder / "certificate.pem")}
    context = _type(
        "transport_sockets.tls.v3.UpstreamTlsContext",
        sni="localhost",
        common_tls_context={"validation_context": {"trusted_ca": trusted}},
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


PEERS = (
    Peer("sidekey", "python3", _sidekey()),
    Peer("nginx", "nginx", _nginx("nginx", STREAMING)),
    Peer("nginx, buffered", "nginx", _nginx("nginx-buffered", BUFFERED)),
    Peer("HAProxy", "haproxy", _haproxy),
    Peer("Envoy", "envoy", _envoy),
    Peer("Caddy", "caddy", _caddy),
    Peer("node http-proxy", "node", _node, module="http-proxy"),
    Peer("mitmproxy", "mitmdump", _mitmproxy, one_upstream=True),
    Peer("plain aiohttp", "python3", _aiohttp, one_upstream=True),
)
