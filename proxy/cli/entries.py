"""Asks for all that one upstream of a first configuration needs."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from proxy.cli.first_config import Entry
from proxy.cli.output import say
from proxy.cli.places import Keyring, Place, PrivateFiles, Variables, default_folder, variable
from proxy.cli.questions import ask, ask_secret, ask_until, choose, confirm
from proxy.config import presets
from proxy.config.models import UpstreamName
from proxy.config.presets import Input
from proxy.config.references import keyring
from proxy.credentials.providers import AnyProvider
from proxy.credentials.secret import Secret
from proxy.notation import BaseUrl, Frozen

_PROVIDERS = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(AnyProvider)[0])
}


class Kind(Frozen):
    """An API of which only the way to a token is known."""

    description: str
    provider: str
    inputs: dict[str, Input]


KINDS = {
    "api-key": Kind(
        description="none of these: another API, with a key",
        provider="api_key",
        inputs={"keys": Input(description="the key", secret=True)},
    ),
    "oauth2": Kind(
        description="none of these: another API, with a token endpoint (OAuth 2.0 client ID)",
        provider="oauth2_client_credentials",
        inputs={
            "token_url": Input(description="URL of the token endpoint"),
            "client_id": Input(description="client ID"),
            "client_secret": Input(description="client secret", secret=True),
            "scope": Input(description="scope"),
        },
    ),
}


@dataclass(slots=True)
class Asking:
    """Asks for one upstream after the other; where secrets go is asked once, when one comes."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _place: Place | None = None

    @property
    def place(self) -> Place:
        """Where secrets are kept."""
        if self._place is None:
            self._place = _choose_place(self.environ)
        return self._place

    def entry(self, choice: str, taken: Collection[str]) -> Entry:
        """Return an upstream for a preset or a kind, by a name that is not taken."""
        if choice in KINDS:
            return self._of_kind(choice, taken)
        preset = presets()[choice]
        name = _name(choice, taken)
        keys = {"preset": choice}
        if "base_url" not in preset.upstream:
            keys["base_url"] = _base_url("your server, such as https://misskey.example")
        model = _PROVIDERS[preset.provider["type"]]
        required = {*preset.placeholders(), *_required(model)}
        return Entry(
            name,
            [*_wrapped(preset.description), preset.documentation],
            keys,
            self._inputs(name, preset.inputs, required),
            {key: entry.description for key, entry in preset.inputs.items()},
        )

    def _of_kind(self, choice: str, taken: Collection[str]) -> Entry:
        kind = KINDS[choice]
        name = _name("my-api", taken)
        keys = {"base_url": _base_url("where its paths begin, such as https://api.example.com/v1")}
        provider: dict[str, str | Secret] = {"type": kind.provider}
        provider |= self._inputs(name, kind.inputs, _required(_PROVIDERS[kind.provider]))
        return Entry(name, (), keys, provider, inject=_rule())

    def _inputs(
        self, name: str, inputs: Mapping[str, Input], required: Collection[str]
    ) -> dict[str, str | Secret]:
        """Return the answers; what is left out is not among them."""
        answers = {
            key: self._secret(name, key, entry, may_lack=key not in required)
            if entry.secret
            else _text(key, entry, may_lack=key not in required)
            for key, entry in inputs.items()
        }
        return {key: answer for key, answer in answers.items() if answer is not None}

    def _secret(self, name: str, key: str, entry: Input, *, may_lack: bool) -> Secret | None:
        if not self.place.asks:
            question = f"{key} ({entry.description}): take it from ${variable(name, key)}?"
            return Secret("") if not may_lack or confirm(question) else None
        while not (answer := ask_secret(_question(key, entry, may_lack))) and not may_lack:
            say("  it cannot be left out")
        return answer or None


def _text(key: str, entry: Input, *, may_lack: bool) -> str | None:
    """Return an answer; what is wrong with it, all answers together show."""
    while not (answer := ask(_question(key, entry, may_lack))) and not may_lack:
        say("  it cannot be left out")
    return answer or None


def _question(key: str, entry: Input, may_lack: bool) -> str:
    return f"{key} ({entry.description}{'; Enter leaves it out' if may_lack else ''})"


def _required(model: type[Frozen]) -> set[str]:
    return {key for key, known in model.model_fields.items() if known.is_required()}


def _name(default: str, taken: Collection[str]) -> str:
    """Return the name of an upstream."""
    free = default if default not in taken else f"{default}-{len(taken) + 1}"

    def check(answer: str) -> str:
        if answer in taken:
            raise ValueError("another upstream has that name")
        return _checked(UpstreamName, answer)

    say("")
    return ask_until("name (the first part of its local path)", check, free)


def _base_url(what: str) -> str:
    return ask_until(f"base_url ({what})", lambda answer: _checked(BaseUrl, answer))


def _rule() -> dict[str, str]:
    """Return where the token goes, as a rule of `inject`."""
    place = choose(
        "Where does the token go?",
        [
            ("header", "a field of the request's head"),
            ("query", "a parameter of the URL"),
        ],
    )
    if place == "query":
        return {"in": place, "name": ask("name of the parameter", "api_key")}
    name = ask("name of the header", "Authorization")
    form = "Bearer {token}" if name.lower() == "authorization" else "{token}"
    return {"in": place, "name": name, "format": ask("what it holds", form)}


def _choose_place(environ: Mapping[str, str]) -> Place:
    folder = default_folder(environ)
    places: dict[str, tuple[str, Place]] = {
        "files": (f"a private file each, in {folder}", PrivateFiles(folder)),
        "environment": ("variables that you set before sidekey runs", Variables()),
    }
    if keyring.is_usable():
        places = {"keyring": ("the keyring of this system", Keyring())} | places
    options = [(name, description) for name, (description, _) in places.items()]
    return places[choose("Where are secrets to be kept?", options)][1]


def _checked(kind: Any, answer: str) -> str:
    """Return the answer as the configuration takes it. Raises `ValueError` with what is wrong."""
    try:
        checked: str = TypeAdapter(kind).validate_python(answer)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    return checked


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 96)
