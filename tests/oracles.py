"""What has to hold after every hostile case, whatever the case itself expects."""

from __future__ import annotations

import asyncio
import gc
import json
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from canaries import PREFIX, holds_canary

if TYPE_CHECKING:
    from hostile_harness import Hostile
    from strict_upstream import StrictRequest

OWN_PAGES = ("", "/", "/healthz", "/readyz", "/status", "/metrics")
FORBIDDEN = frozenset(
    [
        "access-control-request-headers",
        "access-control-request-method",
        "access-control-request-private-network",
        "cookie",
        "expect",
        "forwarded",
        "http2-settings",
        "keep-alive",
        "origin",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "referer",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "sidekey-client",
        "te",
        "trailer",
        "via",
        "x-api-key",
        "x-api_key",
        "x_api_key",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-http-method-override",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
    ]
)


async def check_alive(hostile: Hostile) -> None:
    """A control request is served, and so are sidekey's own pages."""
    async with asyncio.timeout(5):
        answer = await hostile.ask("GET /control/alive", *hostile.control)
        assert (answer.status, answer.content) == (200, b"ok"), answer
        for page in OWN_PAGES:
            await hostile.ask(f"GET /_sidekey{page}", *hostile.control)


def check_upstreams(hostile: Hostile) -> None:
    """What arrived is proper HTTP below the base URL, with our credential exactly once."""
    assert hostile.upstream.errors == []
    assert hostile.issuer.errors == []
    for request in hostile.upstream.requests:
        _check_request(hostile, request, _route(request))
    for request in hostile.issuer.requests:
        if request.target == hostile.token_path:
            _check_token_request(hostile, request)
        else:
            _check_request(hostile, request, "t")


def _route(request: StrictRequest) -> str:
    named = {"/base/v1": "r", "/base/query": "q", "/base/json": "j", "/base/control": "control"}
    return named["/".join(request.path.split("/")[:3])]


def _check_request(hostile: Hostile, request: StrictRequest, route: str) -> None:
    base = hostile.bases[route]
    path = posixpath.normpath(request.decoded_path)
    assert path == base or path.startswith(f"{base}/"), request
    assert ".." not in request.decoded_path.split("/"), request
    names = {name.lower() for name, _ in request.fields}
    assert not names & FORBIDDEN, request
    assert not [name for name in names if name.startswith("trailer ")], request
    assert all(v.isascii() or v.encode("latin-1").decode() for _, v in request.fields), request
    assert [v.lower() for v in request.field("Upgrade")] in ([], ["websocket"]), request
    assert _occurrences(request) == 1, request
    assert _credential(request, route) in hostile.canaries.allowed_at(route), request


def _occurrences(request: StrictRequest) -> int:
    fields = "".join(f"{name}:{value}\n" for name, value in request.fields)
    return f"{request.target}\n{fields}".count(PREFIX) + request.content.count(PREFIX.encode())


def _credential(request: StrictRequest, route: str) -> str:
    """Return the credential in the slot of `route`; what else is there is none."""
    authorization = request.field("Authorization")
    if route == "q":
        assert authorization == [], request
        values = [
            v for name, v in parse_qsl(request.query, keep_blank_values=True) if name == "key"
        ]
    elif route == "j":
        assert authorization == [], request
        members: list[tuple[str, Any]] = json.loads(request.content, object_pairs_hook=list)
        values = [value for name, value in members if name == "i"]
    else:
        values = [value.removeprefix("Bearer ") for value in authorization]
    assert len(values) == 1, request
    return str(values[0])


def _check_token_request(hostile: Hostile, request: StrictRequest) -> None:
    """Only the provider's own requests reach the token endpoint."""
    canaries = hostile.canaries
    logins = [{"id": canaries.client_id, "secret": canaries.client_secret}]
    renewals = [{"refresh_token": token} for token in canaries.refresh_tokens]
    assert request.method == "POST", request
    expected = [json.dumps(members).encode() for members in logins + renewals]
    assert request.content in expected, request
    assert not {name.lower() for name, _ in request.fields} & FORBIDDEN, request


def check_secrecy(hostile: Hostile) -> None:
    """No made-up secret in answers, log, events or the state folder."""
    assert not holds_canary(bytes(hostile.received)), "a client received a secret"
    assert not holds_canary(hostile.log.text), "the log holds a secret"
    for record in hostile.log.records:
        assert not holds_canary(record), f"a record holds a secret: {record}"
    for event in hostile.proxy.events:
        assert not holds_canary(repr(event)), f"an event holds a secret: {event}"
    for path in hostile.state.rglob("*"):
        assert not holds_canary(path.name), f"a file's name holds a secret: {path}"
        if path.is_file():
            assert not holds_canary(path.read_bytes()), f"a file holds a secret: {path}"


@contextmanager
def tidy_loop() -> Iterator[None]:
    """Nothing that asyncio could only complain of: forgotten tasks, errors nobody has seen.

    Coroutines that nobody awaited and sockets that nobody closed are pytest's to report.
    """
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, complaint: complaints.append(complaint))
    before = asyncio.all_tasks()
    try:
        yield
        gc.collect()
    finally:
        loop.set_exception_handler(handler)
    assert complaints == []
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set(), "a stray task"
