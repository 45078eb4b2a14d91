"""Settings -> the source of each upstream, and what nobody may read of them."""

from __future__ import annotations

from dataclasses import replace

from proxy.config import Loaded
from proxy.config.models import Settings, Upstream
from proxy.credentials.identity import hidden_texts, secrets_of
from proxy.credentials.redaction import Redaction
from proxy.credentials.resources import Resources
from proxy.credentials.source import PATIENCE, Source


def build_source(
    name: str,
    upstream: Upstream,
    *,
    resources: Resources,
    patience: float = PATIENCE,
) -> Source:
    """Return the source of one upstream; a request waits for it as long as its `patience`."""
    return Source(
        name,
        upstream.provider.at(upstream.base_url),
        upstream.base_url,
        replace(resources, redaction=_part_of(resources.redaction, upstream)),
        patience=patience,
    )


def _part_of(whole: Redaction, upstream: Upstream) -> Redaction:
    """Return what an answer of `upstream` may echo: of its own secrets only what surely is one."""
    part = Redaction(whole=whole)
    for secret in secrets_of(upstream):
        part.know(secret)
    return part


def know_all(redaction: Redaction, settings: Settings) -> None:
    """Make known to `redaction` what is configured."""
    for secret in {*secrets_of(settings), *hidden_texts(settings)}:
        redaction.know(secret)


def know_hidden(redaction: Redaction, loaded: Loaded) -> None:
    """Make known to `redaction` what else the file refers to that nobody may read."""
    for secret in loaded.hidden:
        redaction.know(secret)
