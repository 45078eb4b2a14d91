"""The configuration as frozen models; their fields are the YAML keys."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from proxy.credentials.providers import AnyProvider
from proxy.credentials.secret import Secret
from proxy.injection import AnyInjector
from proxy.notation import BaseUrl, Duration, Frozen, Status
from proxy.pathglob import PathGlob

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MIN_KEY = 32


class Section(Frozen):
    """A part of the file; the text below each field describes it in the JSON Schema."""

    model_config = ConfigDict(use_attribute_docstrings=True)


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


def _check_file_path(path: Path) -> Path:
    if str(path).startswith("~"):
        raise ValueError("~ is not expanded here: write ${HOME}")
    if "\0" in str(path):
        raise ValueError("a path holds no NUL")
    return path


def _check_key(value: object) -> object:
    if isinstance(value, str) and len(value) < _MIN_KEY:
        raise ValueError(f"needs at least {_MIN_KEY} characters")
    return value


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a whole number")
    return value


UpstreamName = Annotated[
    str,
    AfterValidator(_check_upstream_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"}),
]
Method = Annotated[str, AfterValidator(_check_method)]
FilePath = Annotated[Path, AfterValidator(_check_file_path)]
StoreKey = Annotated[Secret, BeforeValidator(_check_key)]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(_refuse_bool)]
OwnPort = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_refuse_bool)]


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


class Store(Section):
    """Where tokens are kept across restarts."""

    type: Literal["file", "memory"] = "file"
    """`file`: encrypted, on disk. `memory`: forgotten at the end."""
    path: FilePath | None = None
    """Folder of the token files; by default `$XDG_STATE_HOME/sidekey`."""
    key: StoreKey | None = None
    """Secret of at least 32 characters that encrypts the files; by default one is made once."""

    @model_validator(mode="after")
    def _only_files_have_a_place(self) -> Self:
        if self.type == "memory" and (self.path is not None or self.key is not None):
            raise ValueError("path and key need type: file")
        return self


class Timeouts(Section):
    """How long the upstream may take."""

    connect: Duration = timedelta(seconds=10)
    """Until the connection stands."""
    read: Duration = timedelta(minutes=5)
    """Between two pieces of an answer."""


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


class Settings(Section):
    """The whole configuration."""

    listen: Listen = Listen()
    """Where clients reach sidekey."""
    store: Store = Store()
    """Where tokens are kept across restarts."""
    upstreams: dict[UpstreamName, Upstream] = Field(min_length=1)
    """The APIs by name; the name is the first part of the path: http://127.0.0.1:8080/NAME/..."""
