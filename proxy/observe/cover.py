"""Hides secrets in recorded messages: known ones, and whatever stands where credentials go."""

from __future__ import annotations

import re
from collections.abc import Collection

from proxy.credentials.redaction import SENSITIVE_NAME, Redaction
from proxy.credentials.secret import MASK

_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_MEMBER = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:\s*)"(?:[^"\\]|\\.)*(?:"|$)')
_PART = re.compile(
    r'(content-disposition:[^\r\n]*\bname="?([^";\r\n]*)[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)'
    r".*?(?=\r\n--|$(?![\r\n]))",
    re.IGNORECASE | re.DOTALL,
)


class Cover:
    """Hides what `redaction` knows, and the values of `names`: a client may put its own there."""

    def __init__(self, redaction: Redaction, names: Collection[str] = ()) -> None:
        self._redaction = redaction
        self._names = frozenset(name.lower() for name in names)

    def text(self, text: str) -> str:
        """Return a text without known secrets."""
        return self._redaction.masked(text)

    def field(self, name: str, value: str) -> str:
        """Return the value of a field."""
        return MASK if self._is_secret(name) else self.text(value)

    def target(self, target: str) -> str:
        """Return a target, whatever its form."""
        path, mark, query = target.partition("?")
        return self.text(_USER.sub(f"{MASK}@", path)) + mark + self.form(query)

    def form(self, text: str) -> str:
        """Return a query, or the content of a form."""
        return "&".join(map(self._parameter, text.split("&")))

    def json(self, text: str) -> str:
        """Return JSON, also such as is cut off."""

        def covered(found: re.Match[str]) -> str:
            return f'"{found[1]}"{found[2]}"{MASK}"' if self._is_secret(found[1]) else found[0]

        return self.text(_MEMBER.sub(covered, text))

    def multipart(self, text: str) -> str:
        """Return multipart content that is text."""

        def covered(found: re.Match[str]) -> str:
            return found[1] + MASK if self._is_secret(found[2]) else found[0]

        return self.text(_PART.sub(covered, text))

    def end(self, content: bytes) -> int:
        """Return where a content ends that was cut off, without the beginning of a secret."""
        return self._redaction.unfinished(content)

    def _parameter(self, parameter: str) -> str:
        name, equals, _ = parameter.partition("=")
        return (
            f"{self.text(name)}={MASK}"
            if equals and self._is_secret(name)
            else self.text(parameter)
        )

    def _is_secret(self, name: str) -> bool:
        return name.lower() in self._names or SENSITIVE_NAME.search(name) is not None
