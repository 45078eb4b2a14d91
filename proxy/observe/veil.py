"""What may be shown of a token request and of its answer: structure and names, no secret. Pure.

An answer is shown before anybody has read it, so nobody knows which of its texts are tokens: every
text is hidden that is called as secrets are, and every long one that could be one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

from pydantic import BaseModel

from proxy.credentials.identity import SHORTEST_SECRET, hidden_texts, secrets_of
from proxy.credentials.providers import Provider, TokenEndpoint
from proxy.credentials.redaction import SENSITIVE_NAME, Redaction
from proxy.credentials.secret import MASK, Secret

OPAQUE = 20  # characters; session ids and tokens have at least as many
_WORD = re.compile(rf"[^\s\"'<>&=,;:()\[\]{{}}]{{{OPAQUE},}}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")
_CODE = re.compile("[a-z]+(_[a-z]+)+|[A-Z]+(_[A-Z]+)+")  # unsupported_grant_type
_TELLS_CODES = ("code", "error", "error_code")
_ABOUT_A_SECRET = re.compile(  # token_type, refresh_token_expires_in
    "(type|lifetime|ttl|(expires?|expiry|expiration|valid)([_-]?(in|at|on|for|until|seconds))*)$",
    re.IGNORECASE,
)
_OAUTH = "urn:ietf:params:oauth:"  # RFC 6755: grants and assertions
_SCHEME = re.compile(r"(Basic|Bearer) +(.+)", re.IGNORECASE)
_PAIR = re.compile(r"(?P<name>[^&=]*)=(?P<value>[^&]*)")
_PLAIN_FIELDS = frozenset(
    {"accept", "cache-control", "content-type", "date", "server", "user-agent", "vary"}
)
_OF_STANDARDS = frozenset(  # texts that are kept out of sight with others, and are no secret
    map(
        Secret,
        (
            *("application/json", "application/x-www-form-urlencoded"),
            *("authorization_code", "client_credentials", "password", "refresh_token"),
        ),
    )
)


class Veil:
    """Hides what `masked` takes out of a text, and what may be a secret that nobody knows yet.

    `names` are those under which there are secrets, beside those that sound like it.
    """

    def __init__(self, masked: Callable[[str], str], names: Collection[str] = ()) -> None:
        self._masked = masked
        self._names = names

    def text(self, text: str) -> str:
        """Return prose without known secrets, and without long words that could be tokens."""
        return _WORD.sub(lambda word: hidden(word[0]), self._masked(text))

    def field(self, name: str, value: str) -> str:
        """Return the value of a header field."""
        return self._masked(value) if name.lower() in _PLAIN_FIELDS else self.value(name, value)

    def value(self, name: str, value: str) -> str:
        """Return the value of a parameter or a member of that name."""
        scheme = _SCHEME.fullmatch(value)
        if scheme is not None:
            return f"{scheme[1]} {hidden(scheme[2])}"
        is_link = "://" in value or name.lower() == "location"
        if self._is_secret(name, value, is_link=is_link):
            return hidden(value)
        if is_link:
            return self.url(value)
        return value if _is_told(name, value) else self.text(value)

    def path(self, path: str) -> str:
        """Return where something stands in JSON; names are kept, however long."""
        return self._masked(path)

    def json(self, value: Any, name: str = "") -> Any:
        """Return JSON with the same names and the same structure."""
        if isinstance(value, dict):
            return {self._masked(key): self.json(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.json(item, name) for item in value]
        if isinstance(value, str):
            return self.value(name, value)
        if value is None or isinstance(value, bool) or not self._is_secret(name, str(value)):
            return value
        return hidden(str(value))

    def form(self, text: str) -> str:
        """Return a query or a form with its values hidden."""
        return _PAIR.sub(lambda pair: f"{pair['name']}={self._of_pair(*pair.groups())}", text)

    def url(self, url: str) -> str:
        """Return a URL whose path and query hide what may be secret."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""
        path = "/".join(map(self.text, parts.path.split("/")))
        return f"{origin}{path}?{self.form(parts.query)}" if parts.query else f"{origin}{path}"

    def _of_pair(self, name: str, value: str) -> str:
        # What is no prose has no spaces: a `+` of base64 was not meant for one.
        as_meant = unquote_plus(value) if name == "scope" else unquote(value)
        shown = self.value(unquote_plus(name), as_meant)
        return value if shown == as_meant else shown

    def _is_secret(self, name: str, value: str, *, is_link: bool = False) -> bool:
        if not value:
            return False
        if name in self._names:
            return True
        if SENSITIVE_NAME.search(name) and not _ABOUT_A_SECRET.search(name):
            return True
        if re.search(r"\s", value):
            return False  # prose, of which only words are hidden
        if self._masked(value) != value:
            return True
        return len(value) >= OPAQUE and not is_link and not _is_told(name, value)


def _is_told(name: str, value: str) -> bool:
    """Tell whether a long text without spaces is a time, or a word of a standard."""
    is_code = name in _TELLS_CODES and _CODE.fullmatch(value) is not None
    return is_code or _TIME.fullmatch(value) is not None or value.startswith(_OAUTH)


def veil_of(settings: BaseModel, provider: Provider, hidden: Collection[Secret]) -> Veil:
    """Return what hides all secrets of `settings`, and what may be one in answers to `provider`.

    `hidden` is what else the configuration refers to that nobody may read.
    """
    secrets, texts = Redaction(shortest=SHORTEST_SECRET), Redaction()
    for secret in {*secrets_of(settings), *hidden}:
        secrets.know(secret)
    for text in set(hidden_texts(settings)) - _OF_STANDARDS:
        texts.know(text)
    return Veil(lambda text: secrets.masked(texts.masked(text)), frozenset(_names_of(provider)))


def _names_of(provider: Provider) -> Iterator[str]:
    """Yield the names under which the provider looks for tokens, where they are configured."""
    if isinstance(provider, TokenEndpoint):
        for path in (provider.response.token, provider.response.refresh_token or ""):
            yield from [step for step in path.split(".") if not step.isdecimal()][-1:]


def hidden(text: str) -> str:
    """Return what stands for a hidden text; its length tells a token from a short word."""
    return f"{MASK}({len(text)})"
