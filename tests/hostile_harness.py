"""sidekey under attack: a made-up secret in every slot, strict upstreams, four oracles.

Routes (`base_url` at the strict upstream, or at the issuer for `t`):

    r        /base/v1       two keys, as a Bearer token in Authorization
    q        /base/query    a key in the query, as `key`
    j        /base/json     a key in the JSON object, as `i`
    t        /base/v1       a token of the issuer's token endpoint, as a Bearer token
    control  /base/control  a key, for the question whether the proxy is still alive
"""

from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import structlog
from canaries import canary
from oracles import check_alive, check_secrecy, check_upstreams, tidy_loop
from proxying import Sidekey, sidekey
from raw_client import RawAnswer, RawClient, ask, ask_raw, raw_client
from raw_upstream import OK, json_response
from strict_upstream import Answer, StrictRequest, StrictUpstream, strict_upstream

from proxy.credentials.redaction import Redaction
from proxy.observe.logs import configure, log_observer

TOKEN_PATH = "/base/v1/oauth/token"
BASES = {
    "r": "/base/v1",
    "q": "/base/query",
    "j": "/base/json",
    "t": "/base/v1",
    "control": "/base/control",
}


@dataclass
class Canaries:
    """The made-up secrets of one test."""

    keys: tuple[str, str] = field(default_factory=lambda: (canary("key-1"), canary("key-2")))
    query_key: str = field(default_factory=lambda: canary("query-key"))
    json_key: str = field(default_factory=lambda: canary("json-key"))
    control_key: str = field(default_factory=lambda: canary("control-key"))
    client_id: str = field(default_factory=lambda: canary("client-id"))
    client_secret: str = field(default_factory=lambda: canary("client-secret"))
    client_key: str = field(default_factory=lambda: canary("client-key"))
    tokens: list[str] = field(default_factory=list)
    refresh_tokens: list[str] = field(default_factory=list)

    def allowed_at(self, route: str) -> tuple[str, ...]:
        """Return the values that the upstream of `route` may see."""
        return {
            "r": self.keys,
            "q": (self.query_key,),
            "j": (self.json_key,),
            "t": tuple(self.tokens),
            "control": (self.control_key,),
        }[route]


@dataclass
class Log:
    """All that was logged, at debug level: as lines of the product's own, and as it came."""

    lines: io.StringIO = field(default_factory=io.StringIO)
    records: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.lines.getvalue()


class _Records(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        frames = traceback.format_exception(*record.exc_info) if record.exc_info else []
        self._log.records.append(f"{record.__dict__!r} {record.getMessage()} {''.join(frames)}")


@contextmanager
def logging_into(log: Log, redaction: Redaction) -> Iterator[None]:
    """Log at debug level in the product's own format, besides what pytest captures."""
    root = logging.getLogger()
    others, level = root.handlers[:], root.level
    root.handlers[:] = []
    configure(log.lines, redaction=redaction, level=logging.DEBUG)
    ours = [*root.handlers, _Records(log)]
    root.handlers[:] = [*others, *ours]
    try:
        yield
    finally:
        for handler in ours:
            root.removeHandler(handler)
        root.setLevel(level)
        structlog.reset_defaults()
        logging.captureWarnings(False)
        logging.raiseExceptions = True


@dataclass
class Hostile:
    """A running proxy, what is behind it, and all that it said to anybody."""

    proxy: Sidekey
    upstream: StrictUpstream
    issuer: StrictUpstream
    canaries: Canaries
    log: Log
    state: Path
    control: tuple[str, ...] = ()  # fields that a client needs here to be served at all
    received: bytearray = field(default_factory=bytearray)
    token_path: ClassVar[str] = TOKEN_PATH
    bases: ClassVar[Mapping[str, str]] = BASES

    @property
    def arrived(self) -> list[StrictRequest]:
        """The requests that clients caused at the upstream and at the issuer's API."""
        at_issuer = [r for r in self.issuer.requests if r.target != TOKEN_PATH]
        return [r for r in self.upstream.requests if not r.path.startswith(BASES["control"])] + (
            at_issuer
        )

    async def ask(
        self, line: str, *fields: str, content: bytes = b"", host: str | None = None
    ) -> RawAnswer:
        """Send one request; a Content-Length is added to content without Transfer-Encoding."""
        return await ask(
            self.proxy, line, *fields, content=content, host=host, received=self.received
        )

    async def send(self, request: bytes, method: str = "GET") -> RawAnswer:
        """Send bytes as they are, and return the first answer."""
        return await ask_raw(self.proxy, request, method, received=self.received)

    def connect(self) -> AbstractAsyncContextManager[RawClient]:
        """Connect as a client that sends what it likes."""
        return raw_client(self.proxy.place, self.received)

    def check_refused(self, answer: RawAnswer, status: int, slug: str) -> None:
        """Check that the answer is that problem, and that nothing was forwarded."""
        assert (answer.status, answer.field("Sidekey-Error")) == (status, [slug])
        assert answer.field("Content-Type") == ["application/problem+json"]
        assert self.arrived == []

    def host(self, name: str) -> str:
        """Return `name` with the listener's port in place of `{port}`, or without one."""
        if isinstance(self.proxy.place, Path):
            return name.replace(":{port}", "")
        return name.replace("{port}", str(self.proxy.port))


def upstreams_text(
    origin: str, control: str, issuer: str, canaries: Canaries, more: dict[str, str]
) -> str:
    """Return the configuration of the routes; `more` are further lines by route."""
    shape = f"url: {issuer}{TOKEN_PATH}, json:"
    providers = {
        "r": f"{{type: api_key, keys: [{', '.join(canaries.keys)}]}}",
        "q": f"{{type: api_key, keys: {canaries.query_key}}}",
        "j": f"{{type: api_key, keys: {canaries.json_key}}}",
        "t": "\n    type: token_endpoint"
        f"\n    request: {{{shape} {{id: {canaries.client_id}, secret: {canaries.client_secret}}}}}"
        f'\n    renewal: {{{shape} {{refresh_token: "{{refresh_token}}"}}}}'
        "\n    response: {token: access_token, refresh_token: refresh_token}"
        "\n    lifetime: 1h",
        "control": f"{{type: api_key, keys: {canaries.control_key}}}",
    }
    injects = {"q": "{in: query, name: key}", "j": "{in: body, name: i}"}
    lines = []
    for route, provider in providers.items():
        at = {"t": issuer, "control": control}.get(route, origin)
        lines += [f"{route}:", f"  base_url: {at}{BASES[route]}", f"  provider: {provider}"]
        lines += [f"  inject: {injects[route]}"] if route in injects else []
        lines += [f"  {line}" for line in more.get(route, "").splitlines()]
    return "\n".join(lines)


def issuing(canaries: Canaries) -> Answer:
    """Return an issuer's answers: a new token at every request to its token endpoint."""

    def answer(request: StrictRequest) -> bytes:
        if request.target != TOKEN_PATH:
            return OK
        number = len(canaries.tokens) + 1
        canaries.tokens.append(canary(f"token-{number}"))
        canaries.refresh_tokens.append(canary(f"refresh-{number}"))
        members = {
            "access_token": canaries.tokens[-1],
            "refresh_token": canaries.refresh_tokens[-1],
        }
        return json_response("200 OK", json.dumps(members).encode())

    return answer


@asynccontextmanager
async def attacked(
    folder: Path,
    transport: str = "tcp",
    *,
    listen: str = "",
    top: str = "",
    more: dict[str, str] | None = None,
    extra: str = "",
    origin: str | None = None,
    control: tuple[str, ...] = (),
) -> AsyncIterator[Hostile]:
    """Serve the routes above on `transport`, `tcp` or `unix`.

    `listen` are further keys of `listen`, as in a YAML flow mapping, `top` further top-level
    sections, `more` further lines by route, `extra` further upstreams, in which ISSUER stands for
    the issuer's origin. `origin` is another upstream for r, q and j.
    `control` are the fields without which no client is served.
    """
    canaries, log, state = Canaries(), Log(), folder / "state"
    place = f"unix_socket: {folder / 'sidekey.sock'}" if transport == "unix" else "port: 0"
    beginning = (
        f"listen: {{{', '.join(part for part in (place, listen) if part)}}}\n"
        f"store: {{type: file, path: {state}}}\n{top}\n"
    )
    with tidy_loop():
        async with strict_upstream() as upstream, strict_upstream(issuing(canaries)) as issuer:
            text = upstreams_text(
                origin or upstream.origin, upstream.origin, issuer.origin, canaries, more or {}
            )
            text += "\n" + extra.replace("ISSUER", issuer.origin)
            redaction = Redaction()
            with logging_into(log, redaction):
                async with sidekey(
                    folder,
                    text,
                    beginning=beginning,
                    observe=log_observer(),
                    redaction=redaction,
                ) as proxy:
                    hostile = Hostile(proxy, upstream, issuer, canaries, log, state, control)
                    yield hostile
                    await check_alive(hostile)
        check_upstreams(hostile)
        check_secrecy(hostile)
