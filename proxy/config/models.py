"""The configuration as frozen models; their fields are the YAML keys."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from proxy.config.section import FilePath, Section, at_least
from proxy.config.store import Store
from proxy.credentials.providers import AnyProvider
from proxy.credentials.secret import Secret
from proxy.gateway.fields import (
    ABOUT_THE_CLIENT,
    FROM_BROWSERS,
    HOP,
    HOP_BY_HOP,
    PROTECTED,
    REWRITTEN,
    TOKEN_FIELD,
    folded,
)
from proxy.injection import AnyInjector
from proxy.injection.rule import FieldName
from proxy.notation import BaseUrl, Duration, Rate, Size, Status, check_url, origin_of
from proxy.pathglob import PathGlob

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MIN_CLIENT_KEY = 16
# The upstream reads these, or the guard does before clients show who they are.
_TAKEN_FIELDS = (
    HOP_BY_HOP
    | REWRITTEN
    | PROTECTED
    | FROM_BROWSERS
    | ABOUT_THE_CLIENT
    | {"user-agent", *map(folded, (HOP, TOKEN_FIELD))}
)
_TAKEN_BEGINNINGS = ("accept", "content-", "if-", "sec-", "x-forwarded-")


class OneOrMany:
    """Marks a list of which the only item may stand alone."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, list | tuple) else [value], handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


def _check_upstream_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            "a name holds a-z, 0-9 and -, begins with a letter or digit and has at most"
            " 63 characters: it becomes the host name NAME.localhost"
        )
    return name


def _check_method(method: str) -> str:
    if not re.fullmatch(r"[A-Z]+", method):
        raise ValueError("a method is written in capitals, such as GET")
    return method


def _check_visible_ascii(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[!-~]*", value):
        raise ValueError("holds visible ASCII characters only, no spaces")
    return value


def _check_client_field(name: str) -> str:
    if folded(name) in _TAKEN_FIELDS or folded(name).startswith(_TAKEN_BEGINNINGS):
        raise ValueError("this field has a meaning already: choose one such as Sidekey-Client")
    return name


def _check_network(network: str) -> str:
    try:
        ipaddress.ip_network(network)
    except ValueError:
        raise ValueError("expected an address or network such as 172.16.0.0/12") from None
    return network


def _check_origin(origin: str) -> str:
    with suppress(ValueError):
        if check_url(origin) == origin_of(origin):
            return origin
    raise ValueError(
        "expected an origin such as http://localhost:5173, in lower case,"
        " without path or default port"
    )


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a whole number")
    return value


def _off_without_quotes(value: object) -> object:
    return "off" if value is False else value  # YAML 1.1 reads `off` as false


UpstreamName = Annotated[
    str,
    AfterValidator(_check_upstream_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"}),
]
Method = Annotated[str, AfterValidator(_check_method)]
ClientKey = Annotated[Secret, at_least(_MIN_CLIENT_KEY), BeforeValidator(_check_visible_ascii)]
ClientField = Annotated[FieldName, AfterValidator(_check_client_field)]
Network = Annotated[str, AfterValidator(_check_network)]
WebOrigin = Annotated[str, AfterValidator(_check_origin)]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(_refuse_bool)]
OwnPort = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_refuse_bool)]


class ClientTimeouts(Section):
    """How long a client may take."""

    head: Duration = timedelta(seconds=10)
    """Until the head of a request is complete."""
    content: Duration = timedelta(seconds=30)
    """Between two pieces of a request's content; after it, less than 1 KiB a second is too slow."""
    send: Duration = timedelta(seconds=60)
    """Until a client that reads nothing more is left."""
    idle: Duration = timedelta(seconds=30)
    """Between two requests on a connection."""


class Listen(Section):
    """Where clients reach sidekey."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on. Beyond 127.0.0.1 everyone who gets there can use the credentials."""
    port: Port = 8080
    """TCP port; 0 takes a free one."""
    unix_socket: FilePath | None = None
    """Path of a unix socket, in place of host and port."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names of this listener for the check of Host, such as a container's name."""
    allowed_peers: tuple[Network, ...] = ()
    """Networks that may connect beside this machine's loopback; `0.0.0.0/0` is any."""
    allowed_uids: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """User ids that may use `unix_socket` beside its owner and root."""
    allowed_origins: tuple[WebOrigin, ...] = ()
    """Origins of web pages that may call, such as http://localhost:5173."""
    browser_navigation: bool = False
    """Whether the address bar of a browser may open an upstream's URL."""
    front_proxy: bool = False
    """Whether requests may come through another proxy (X-Forwarded-For, Forwarded, Via)."""
    max_connections: int = Field(default=2000, ge=1)
    """Connections of clients at once; when they are used up, the longest idle one is closed."""
    timeouts: ClientTimeouts = ClientTimeouts()
    """How long a client may take."""


class ClientHeader(Section):
    """A field that only clients know which may call."""

    name: ClientField = "Sidekey-Client"
    """Name of the field."""
    value: ClientKey
    """Its value, of at least 16 characters."""


class Clients(Section):
    """Who may call. A client shows one of these; nobody has to while the section is absent."""

    header: ClientHeader | None = None
    """A header field that the client adds to every request."""
    keys: Annotated[tuple[ClientKey, ...], OneOrMany()] = ()
    """Phantom keys: made-up keys that stand where the real one would, and are replaced by it."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.header is None and not self.keys:
            raise ValueError("needs header or keys")
        return self


class Timeouts(Section):
    """How long the upstream may take."""

    connect: Duration = timedelta(seconds=10)
    """Until the connection stands, the resolver's time included."""
    read: Duration = timedelta(minutes=5)
    """Until an answer begins, and between two pieces of it."""


class Rejection(Section):
    """An answer that means: this token is no longer good."""

    status: Status
    """Status of the answer."""
    contains: str | None = Field(default=None, min_length=1)
    """Text that the content must hold too, where the status alone means other things as well."""

    @model_validator(mode="before")
    @classmethod
    def _bare_status(cls, value: object) -> object:
        return {"status": value} if isinstance(value, int | str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        spelled_out = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [dict(spelled_out["properties"]["status"]), spelled_out]}


class AccessRule(Section):
    """Requests that are meant by `allow` or `deny`."""

    methods: tuple[Method, ...] = ()
    """Methods; any, if absent."""
    paths: tuple[PathGlob, ...] = ()
    """Globs on the path at the upstream, that of base_url included; any, if absent."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.methods and not self.paths:
            raise ValueError("needs methods or paths")
        return self


class LocalAnswer(Section):
    """An answer that sidekey gives itself, before allow and deny; nothing is forwarded.

    For clients that fetch tokens themselves: they get a placeholder, which is replaced later.
    """

    methods: tuple[Method, ...] = ("POST",)
    """Methods that are answered."""
    paths: tuple[PathGlob, ...] = Field(min_length=1)
    """Globs on the path at the upstream, that of base_url included."""
    status: Status = 200
    """Status of the answer."""
    json_content: JsonValue = Field(alias="json")
    """Content of the answer."""


class Limits(Section):
    """How much of an upstream may be used; beyond it sidekey answers 429, 503 or 413."""

    rate: Rate | None = None
    """Requests in a time, such as 120/m."""
    burst: int | None = Field(default=None, ge=1)
    """Requests that may come at once within `rate`; by default those of one second."""
    concurrency: int | None = Field(default=None, ge=1)
    """Requests under way at once; open streams and websockets count."""
    content: Size | None = None
    """Size of a request's content, such as 10MiB."""

    @model_validator(mode="after")
    def _burst_of_a_rate(self) -> Self:
        if self.burst is not None and self.rate is None:
            raise ValueError("burst needs rate")
        return self


class Upstream(Section):
    """One API that sidekey forwards to."""

    preset: str | None = None
    """Entry of the catalogue that fills in what is known of this API (`sidekey presets`)."""
    base_url: BaseUrl
    """URL that stands for `http://127.0.0.1:8080/NAME`."""
    port: OwnPort | None = None
    """Port of its own, for clients that drop path prefixes."""
    provider: AnyProvider
    """How a token is obtained."""
    inject: Annotated[tuple[AnyInjector, ...], OneOrMany(), Field(min_length=1)] = Field(
        default=({"in": "header", "name": "Authorization", "format": "Bearer {token}"},),
        validate_default=True,
    )
    """Where the token goes: one rule or a list."""
    reject_on: tuple[Rejection, ...] = (Rejection(status=401),)
    """Answers that mean that the token is no longer good."""
    client_credential: Literal["replace", "reject", "pass"] = "replace"
    """What happens to a credential that the client sent itself."""
    allow: tuple[AccessRule, ...] = ()
    """If present, only these requests are forwarded."""
    deny: tuple[AccessRule, ...] = ()
    """These requests are never forwarded."""
    local_answers: tuple[LocalAnswer, ...] = ()
    """Requests that sidekey answers itself."""
    timeouts: Timeouts = Timeouts()
    """How long the upstream may take."""
    limits: Limits = Limits()
    """How much of the upstream may be used."""
    encoded_slashes: Literal["refuse", "pass"] = "refuse"
    """What happens to `%2F` in a path; some APIs need it (GitLab, npm)."""
    cookies: Literal["strip", "pass"] = "strip"
    """What happens to cookies of client and upstream; `pass` rewrites their paths."""
    redact: Annotated[
        Literal["headers", "content", "off"], BeforeValidator(_off_without_quotes)
    ] = "headers"
    """Where the upstream's answer is searched for the credential, should it be echoed there."""


class Settings(Section):
    """The whole configuration."""

    listen: Listen = Listen()
    """Where clients reach sidekey."""
    clients: Clients | None = None
    """Who may call; needed where `listen.host` is reachable from other machines."""
    store: Store = Store()
    """Where tokens are kept across restarts."""
    upstreams: dict[UpstreamName, Upstream] = Field(min_length=1)
    """The APIs by name; the name is the first part of the path: http://127.0.0.1:8080/NAME/..."""
