"""Curl lines, ready to be pasted into a shell: for an upstream, or for a request as it was."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from types import MappingProxyType

from proxy.config import presets
from proxy.config.issues import KeyPath, written
from proxy.config.models import Clients, Upstream
from proxy.config.presets import Example
from proxy.credentials.secret import MASK
from proxy.gateway.recorder import Record
from proxy.observe.cover import Cover
from proxy.observe.messages import Head, shown_content, shown_fields

_ROOT = Example(path="/")
_HEADER: KeyPath = ("clients", "header", "value")
_KEYS: KeyPath = ("clients", "keys")
_BY_CURL = frozenset(  # fields that it sends by itself
    {
        *("accept", "accept-encoding", "connection", "content-length", "expect", "host"),
        *("transfer-encoding", "user-agent"),
    }
)


def curl_line(
    name: str,
    url: str,
    upstream: Upstream,
    clients: Clients | None,
    variables: Mapping[KeyPath, str] = MappingProxyType({}),
) -> str:
    """Return the line that sends what the preset has as example, else asks for the root.

    `url` is where clients point their base URL; behind a unix socket it begins with `unix:`.
    `variables` are those whose values stand in the configuration, by their place there.
    """
    preset = presets().get(upstream.preset or "")
    example = _ROOT if preset is None else preset.example
    parts = [
        "curl -i",
        _shown(clients, variables),
        _content(example),
        _place(name, url, example.path),
    ]
    return " ".join(part for part in parts if part)


def _shown(clients: Clients | None, variables: Mapping[KeyPath, str]) -> str:
    """Return curl's option with which a client shows who it is; the secret itself stays out.

    A shell fills in a variable of the configuration; anything else, the one who pastes the line.
    """
    if clients is None:
        return ""
    if clients.header is not None:
        field, places = f"{clients.header.name}:", [_HEADER]
    else:
        field, places = "Authorization: Bearer", [_KEYS, (*_KEYS, 0)]
    for place in places:
        if place in variables:
            return f'-H {_beginning(field)}${variables[place]}"'
    return "-H " + shlex.quote(f"{field} <{written(places[0])}>")


def _beginning(field: str) -> str:
    """Return a text in double quotes up to a variable; legal names of fields may mean something."""
    if re.fullmatch(r"[\w: -]*", field):
        return f'"{field} '
    return shlex.quote(f"{field} ") + '"'


def _content(example: Example) -> str:
    if example.method == "GET":
        return ""
    content = json.dumps(example.content, ensure_ascii=False)
    return f"-H 'Content-Type: application/json' -d {shlex.quote(content)}"


def _place(name: str, url: str, path: str) -> str:
    if not url.startswith("unix:"):
        return shlex.quote(url + path)
    socket = url.removeprefix("unix:").removesuffix(f"/{name}")
    return f"--unix-socket {shlex.quote(socket)} {shlex.quote(f'http://localhost/{name}{path}')}"


def recorded_line(record: Record, cover: Cover) -> str | None:
    """Return the line that sends the same as a client has sent, but for what is a secret.

    `None` if the request was too long to be kept.
    """
    if not record.request:
        return None
    head = Head.of(record.request)
    parts = ["curl", "-i", *_method(record, head), *_fields(head, cover)]
    parts += [*_recorded_content(record, head, cover), *_recorded_place(record, head, cover)]
    return " ".join(map(shlex.quote, parts))


def _method(record: Record, head: Head) -> list[str]:
    if head.method == "HEAD":
        return ["--head"]
    return [] if head.method == ("POST" if record.has_content else "GET") else ["-X", head.method]


def _fields(head: Head, cover: Cover) -> list[str]:
    """Return the options for fields; an empty one ends in a semicolon, or curl leaves it out."""
    options: list[str] = []
    for name, value in shown_fields(head.fields, cover):
        if name.lower() not in _BY_CURL and MASK not in value:
            options += ["-H", f"{name}: {value}" if value else f"{name};"]
    return options


def _recorded_content(record: Record, head: Head, cover: Cover) -> list[str]:
    if not record.has_content:
        return []
    content = shown_content(record.content, head, cover)["content"]
    is_whole = record.content is not None and record.content.is_whole
    if content is None or not is_whole or head.values("Content-Encoding"):
        return ["--data-binary", "@content"]  # of a file
    return ["--data-raw", content]  # which may begin with an @


def _recorded_place(record: Record, head: Head, cover: Cover) -> list[str]:
    url = f"http://{head.value('Host')}{cover.target(head.target)}"
    place = ["--unix-socket", record.place] if isinstance(record.place, str) else []
    return [*place, *(["--globoff"] if set("[]{}") & set(url) else []), url]
