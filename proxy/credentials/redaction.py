"""The texts that must not appear: the configured secrets, and the tokens of late. Pure."""

from __future__ import annotations

import re

from proxy.credentials.secret import MASK, Secret
from proxy.credentials.spelling import as_bytes
from proxy.credentials.spelling_index import Span, SpellingIndex

SHORTEST = 8  # characters
GENERATIONS = 8  # of tokens, for each upstream
SENSITIVE_NAME = re.compile(
    "authorization|cookie|token|secret|passw|api[-_]?key|refresh|credential|mailaddress",
    re.IGNORECASE,
)


class Redaction:
    """Knows secrets and masks every spelling of them, without regard to the case of ASCII letters.

    Secrets with fewer than `shortest` characters (8 or 4) are not looked for: they would mask half
    of every sentence. The part of one upstream tells the `whole` what it knows: our own words are
    masked by the whole, but an upstream's answer is searched for its own secrets only.
    """

    def __init__(self, *, shortest: int = SHORTEST, whole: Redaction | None = None) -> None:
        self.index = SpellingIndex(shortest)
        self._indexes = [self.index] if whole is None else [self.index, whole.index]
        self._generations: dict[tuple[Secret, ...], None] = {}  # in order; the last is the latest

    def know(self, secret: Secret) -> None:
        """Mask `secret` from now on and for good."""
        for index in self._indexes:
            index.add(secret)

    def remember(self, *generation: Secret) -> None:
        """Mask the secrets of a new token; those of the 8th token before it are forgotten."""
        if generation in self._generations:
            del self._generations[generation]
        else:
            for secret in generation:
                self.know(secret)
        self._generations[generation] = None
        if len(self._generations) > GENERATIONS:
            self._forget(next(iter(self._generations)))

    def masked(self, text: str) -> str:
        """Return `text` with `***` for every spelling of a secret that the whole knows."""
        if len(text) < self.index.shortest:
            return text
        content = as_bytes(text)
        found = self._indexes[-1].spans(content)
        if not found:
            return text
        ends = [0, *(end for _, end in found)]
        starts = [*(start for start, _ in found), len(content)]
        kept = (content[end:start] for end, start in zip(ends, starts, strict=True))
        return MASK.encode().join(kept).decode(errors="surrogatepass")

    def spans(self, content: bytes) -> list[Span]:
        """Return where spellings of the part's secrets stand, in order; overlapping ones as one."""
        return self.index.spans(content)

    def unfinished(self, content: bytes) -> int:
        """Return where the end of `content` may be the beginning of a spelling, else its length."""
        return self.index.unfinished(content)

    def _forget(self, generation: tuple[Secret, ...]) -> None:
        del self._generations[generation]
        for index in self._indexes:
            for secret in generation:
                index.remove(secret)
