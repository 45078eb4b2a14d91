"""The credential in an upstream's answer, should it be echoed there. Pure.

It is masked with as many `*`, so that every length stays true. Websockets are not looked into, and
no search finds a part of a secret, or one in another charset, hashed, compressed or encrypted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Literal

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.credentials.redaction import Redaction
from proxy.credentials.spelling import as_bytes
from proxy.credentials.spelling_index import Span
from proxy.errors import UpstreamUnreachable

DIGESTS = ("Content-Digest", "Content-MD5", "Digest", "Repr-Digest")  # of what is not sent so
RANGES = ("Range", "If-Range")  # half a secret cannot be recognised
WITHOUT_CONTENT = (204, 304)
MASK = b"*"


class Echo:
    """Finds the secrets of one upstream in its answers.

    `where` says where they are looked for: in `headers`, in `content` too, or nowhere (`off`).
    """

    def __init__(self, where: Literal["headers", "content", "off"], redaction: Redaction) -> None:
        self._where = where
        self._redaction = redaction

    def prepare(self, fields: CIMultiDict[str]) -> None:
        """Ask for an answer that can be looked into, whatever the client asks for."""
        if self._where == "content":
            for name in RANGES:
                fields.popall(name, None)
            fields["Accept-Encoding"] = "identity"

    def check(self, method: str, status: int, fields: CIMultiDictProxy[str]) -> None:
        """Raise `UpstreamUnreachable` if the content is compressed all the same."""
        if self._where != "content" or method == "HEAD" or status in WITHOUT_CONTENT:
            return
        codings = ",".join(fields.getall("Content-Encoding", ())).split(",")
        if {coding.strip().lower() for coding in codings} - {"", "identity"}:
            raise UpstreamUnreachable(
                "the upstream compressed its answer unasked, so it cannot be searched for secrets",
                fix="set redact of upstreams.{upstream} to headers",
            )

    def fields(self, received: CIMultiDictProxy[str]) -> CIMultiDictProxy[str]:
        """Return the fields of an answer without secrets; one whose name holds one is dropped."""
        if self._where == "content":
            kept = CIMultiDict(received)
            for name in DIGESTS:
                kept.popall(name, None)
            received = CIMultiDictProxy(kept)
        lines = "\0".join(chain.from_iterable(received.items()))
        if self._where == "off" or not self._occurs(lines):
            return received
        masked = (
            (name, self.text(value)) for name, value in received.items() if not self._occurs(name)
        )
        return CIMultiDictProxy(CIMultiDict(masked))

    def text(self, text: str) -> str:
        """Return a value or reason phrase without secrets."""
        if self._where == "off":
            return text
        content = as_bytes(text)
        spans = self._redaction.spans(content)
        return _blanked(content, spans).decode(errors="surrogatepass") if spans else text

    def filters(self) -> tuple[Callable[[], EchoFilter], ...]:
        """Return what makes a filter for the content of each answer, if it is looked into."""
        return (lambda: EchoFilter(self._redaction),) if self._where == "content" else ()

    def _occurs(self, text: str) -> bool:
        return bool(self._redaction.spans(as_bytes(text)))


class EchoFilter:
    """Masks secrets in content that comes in chunks, wherever it is cut.

    It holds back no more than may be the beginning of a secret.
    """

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._held = b""
        self._covered = 0  # bytes of what is held that belong to a secret, whatever follows

    def feed(self, chunk: bytes) -> bytes:
        """Take the next part of the content; return what can be passed on."""
        content = self._held + chunk
        return self._pass_on(content, self._redaction.unfinished(content))

    def finish(self) -> bytes:
        """Return the rest of the content."""
        return self._pass_on(self._held, len(self._held))

    def _pass_on(self, content: bytes, end: int) -> bytes:
        found = self._redaction.spans(content)
        blanked = _blanked(content, [(0, self._covered), *found])
        reached = max([self._covered, *(stop for start, stop in found if start < end)])
        self._held, self._covered = content[end:], max(reached - end, 0)
        return blanked[:end]


def _blanked(content: bytes, spans: Iterable[Span]) -> bytes:
    blanked = bytearray(content)
    for start, end in spans:
        blanked[start:end] = MASK * (end - start)
    return bytes(blanked)
