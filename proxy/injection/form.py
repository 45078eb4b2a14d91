"""One field put into an urlencoded form. Pure."""

from __future__ import annotations

from proxy.injection import urlencoded


def with_field(content: bytes, name: str, value: str) -> bytes:
    """Return the form `content` with the field `name` first and only once.

    First, because servers that cap the number of fields drop the last ones without a word (PHP's
    `max_input_vars` and the parser of Express, both 1000).
    """
    rest = urlencoded.without(content.decode("latin-1"), name)  # latin-1 gives every byte back
    own = urlencoded.pair(name, value)
    return (f"{own}&{rest}" if rest else own).encode("latin-1")
