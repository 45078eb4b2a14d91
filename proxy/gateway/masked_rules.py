"""The rules of an upstream with stand-ins for whatever may be secret: to show, never to send. Pure.

A rule's format may hold a secret beside the token, and one without the token may be one itself. All
that is kept of a format is a scheme at its beginning, such as `Bearer`, or a few letters (`bot`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from proxy.credentials.redaction import SENSITIVE_NAME
from proxy.credentials.secret import MASK, Secret
from proxy.injection import Injector
from proxy.injection.rule import PLACEHOLDER

STAND_IN = Secret("sidekey-stands-in-for-the-credential")  # means the same in every encoding
_BEGINNING = re.compile(r"[A-Za-z][A-Za-z-]{0,15} |[A-Za-z]{1,4}(?=\{)")
_SHOWN = "sidekey-stands-in-for-the-credential"
_PAIR = re.compile(r"(?<![^=&;\s])(?P<name>[^=&;\s]+)=(?P<value>[^&;]*)")


def masked_rules(rules: Sequence[Injector]) -> tuple[Injector, ...]:
    """Return rules that put stand-ins where `rules` put secrets."""
    return tuple(rule.model_copy(update={"format": _masked_format(rule)}) for rule in rules)


def _masked_format(rule: Injector) -> str:
    if not rule.uses_token:
        return _SHOWN
    beginning = _BEGINNING.match(rule.format)
    return (beginning[0] if beginning is not None else "") + PLACEHOLDER


def without_stand_in(text: str) -> str:
    """Return `text` with `***` for the stand-in."""
    return text.replace(_SHOWN, MASK)


def masked_field(name: str, value: str) -> str:
    """Return the value of a field to show: the client's own may be a secret too."""
    if name.lower() == "cookie":
        return masked_pairs(value, every=True)
    if _SHOWN in value or not SENSITIVE_NAME.search(name):
        return value
    return MASK


def masked_pairs(text: str, *, every: bool = False) -> str:
    """Return a query or cookies with `***` for the values that are called as secrets are."""

    def masked(pair: re.Match[str]) -> str:
        is_secret = every or SENSITIVE_NAME.search(pair["name"])
        return f"{pair['name']}={MASK}" if is_secret else pair[0]

    return _PAIR.sub(masked, text)
