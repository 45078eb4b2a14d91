"""What a provider asks and gets at the token endpoint, step by step, without a secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from multidict import CIMultiDict

from proxy.credentials.exchange import Step
from proxy.credentials.providers.answers import parse
from proxy.credentials.token import Token, TokenResponse, without_query
from proxy.errors import SidekeyError
from proxy.nearest import nearest
from proxy.observe.veil import Veil

LONGEST = 2000  # characters of content that is no JSON
MOST_LINES = 80  # of one content
FORM = "application/x-www-form-urlencoded"
_REDIRECT = "sidekey follows no redirect: name the URL that it leads to in the configuration"


class Trace:
    """Keeps the steps of a flow as they happen, veiled, and shows the lines of each.

    `paths` are where texts stand in the last answer, as the configuration writes paths.
    """

    def __init__(self, veil: Veil, show: Callable[[str], None]) -> None:
        self.steps: list[dict[str, Any]] = []
        self.paths: tuple[str, ...] = ()
        self._veil = veil
        self._show = show

    def __call__(self, step: Step) -> None:
        """Take note of a step."""
        told = self._told(step)
        self.steps.append(told)
        if isinstance(step.outcome, TokenResponse):
            with suppress(RecursionError):
                self.paths = tuple(map(self._veil.path, _paths(parse(step.outcome.content))))
        for line in _lines(len(self.steps), told):
            self._show(line)

    def near(self, path: str) -> str:
        """Return where the last answer has texts, and which of them is meant by `path`."""
        if not self.paths:
            return "the answer has no texts"
        near = _nearest(path, self.paths)
        hint = f" (did you mean '{near}'?)" if near is not None else ""
        return f"the answer has texts at: {', '.join(self.paths)}{hint}"

    def _told(self, step: Step) -> dict[str, Any]:
        request, outcome = step.request, step.outcome
        told: dict[str, Any] = {
            "method": request.method,
            "url": self._veil.url(request.url),
            "seconds": round(step.seconds, 3),
            **self._message(request.headers, request.content),
        }
        if not isinstance(outcome, TokenResponse):
            return told | {"error": self._error(request.url, outcome.detail)}
        answer = {"status": outcome.status, **self._message(outcome.headers, outcome.content)}
        if 300 <= outcome.status < 400:
            answer["note"] = _REDIRECT
        return told | {"answer": answer}

    def _error(self, url: str, detail: str) -> str:
        """Return why there is no answer; the URL that most begin with, as it stands above."""
        where = without_query(url)
        if not detail.startswith(where):
            return self._veil.text(detail)
        return self._veil.url(where) + self._veil.text(detail.removeprefix(where))

    def _message(self, headers: Mapping[str, str], content: bytes) -> dict[str, Any]:
        fields = {name: self._veil.field(name, value) for name, value in headers.items()}
        try:
            return {"fields": fields, **self._content(CIMultiDict(headers), content)}
        except RecursionError:
            return {"fields": fields, "note": "JSON that is nested too deeply to be shown"}

    def _content(self, headers: CIMultiDict[str], content: bytes) -> dict[str, Any]:
        """Return the content as a member, and a note if it is not shown as it came."""
        if not content:
            return {}
        found = parse(content)
        if isinstance(found, dict | list):
            return {"content": self._veil.json(found)}
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return {"note": f"{len(content)} bytes that are no text"}
        if headers.get("Content-Type", "").lower().startswith(FORM):
            return {"content": self._veil.form(text)}
        shown = "".join(c if c.isprintable() or c in "\n\t" else " " for c in self._veil.text(text))
        note = "no JSON" if len(shown) <= LONGEST else f"no JSON, and cut: {len(text)} characters"
        return {"content": shown[:LONGEST], "note": note}


def token_facts(token: Token, next_renewal: datetime | None) -> dict[str, Any]:
    """Return what a provider made of the answers, without the token."""
    return {
        "length": len(token.value),
        "expires_at": _written(token.expires_at),
        "expiry_is_assumed": token.assumed,
        "refresh_token": token.refresh_token is not None,
        "refresh_expires_at": _written(token.refresh_expires_at),
        "next_renewal": _written(next_renewal),
        **({"user": token.outputs["user"]} if "user" in token.outputs else {}),
    }


def error_facts(error: SidekeyError) -> dict[str, Any]:
    """Return why there is no token."""
    return {"slug": error.slug, "detail": error.detail, "fix": error.fix}


def token_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the facts of a token as a person reads them."""
    yield f"token          found, {facts['length']} characters"
    assumed = " (assumed: the answer does not tell)" if facts["expiry_is_assumed"] else ""
    yield f"expires        {facts['expires_at'] or 'never, as far as is known'}{assumed}"
    until = f", until {facts['refresh_expires_at']}" if facts["refresh_expires_at"] else ""
    yield f"refresh token  {'yes' if facts['refresh_token'] else 'no'}{until}"
    if facts["next_renewal"]:
        yield f"renewed        from {facts['next_renewal']} on, if it is in use"
    if "user" in facts:
        yield f"user           {facts['user']}"


def _nearest(path: str, known: Sequence[str]) -> str | None:
    """Return the nearest path, or else the one that ends in the nearest name."""
    near = nearest(path, known)
    if near is not None:
        return near
    by_name = {one.rpartition(".")[2]: one for one in reversed(known)}
    name = nearest(path.rpartition(".")[2], by_name)
    return None if name is None else by_name[name]


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _paths(answer: Any, before: str = "") -> Iterator[str]:
    """Yield where texts stand in JSON."""
    if isinstance(answer, str) and before:
        yield before
    if isinstance(answer, list):
        answer = dict(enumerate(answer))
    for name, item in answer.items() if isinstance(answer, dict) else ():
        yield from _paths(item, f"{before}.{name}" if before else str(name))


def _lines(number: int, told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{number}  {told['method']} {told['url']}  ({told['seconds'] * 1000:.0f} ms)"
    yield from (f"   > {line}" for line in _message_lines(told))
    if "error" in told:
        yield f"   ! {told['error']}"
        return
    yield f"   < {told['answer']['status']}"
    yield from (f"   < {line}" for line in _message_lines(told["answer"]))


def _message_lines(message: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{name}: {value}" for name, value in message["fields"].items())
    content = message.get("content")
    if content is not None:
        text = content if isinstance(content, str) else _json_text(content)
        lines = text.splitlines()
        yield from lines[:MOST_LINES]
        if len(lines) > MOST_LINES:
            yield f"... and {len(lines) - MOST_LINES} more lines"
    if "note" in message:
        yield f"({message['note']})"


def _json_text(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2)
