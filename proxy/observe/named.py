"""The source of an upstream that somebody names to our own pages."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.credentials.source import Source
from proxy.nearest import did_you_mean
from proxy.refusals import UnknownUpstream


def source_named(sources: Mapping[str, Source], name: str) -> Source:
    """Return the source of that name. Raises `UnknownUpstream`."""
    source = sources.get(name)
    if source is None:
        raise UnknownUpstream(
            f"no upstream is named {name}{did_you_mean(name, sources)}",
            fix=f"name one of {', '.join(sources)}",
        )
    return source
