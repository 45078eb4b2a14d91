"""The field that clients show, where an upstream's credential stands in a field of that name."""

from __future__ import annotations

from proxy.config.issues import Issue
from proxy.config.models import Settings
from proxy.gateway.fields import folded
from proxy.injection import Header


def client_header_conflicts(settings: Settings) -> list[Issue]:
    """Return an issue for every upstream with a header rule for the field that clients show.

    One would take the place of the other: requests would leave without their credential.
    """
    header = settings.clients.header if settings.clients is not None else None
    if header is None:
        return []
    return [
        Issue(
            ("clients", "header", "name"),
            f"the credential of upstreams.{name} goes into this field: choose another one",
        )
        for name, upstream in settings.upstreams.items()
        if any(
            isinstance(rule, Header) and folded(rule.name) == folded(header.name)
            for rule in upstream.inject
        )
    ]
