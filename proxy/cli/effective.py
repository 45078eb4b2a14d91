"""How the configuration in effect is printed, for people."""

from __future__ import annotations

import math

import yaml
from pydantic import JsonValue

from proxy.config.effective import Effective
from proxy.config.origins import Origin
from proxy.credentials.secret import MASK


def told(effective: Effective) -> str:
    """Return `path = value   (where it came from)`, one line a value."""
    return "\n".join(
        f"{setting.path} = {_yaml(setting.value)}   ({_told(setting.origin, effective.path.name)})"
        for setting in effective.settings()
    )


def _yaml(value: JsonValue) -> str:
    if value == MASK:
        return MASK
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf)
    return text.removesuffix("\n").removesuffix("\n...")


def _told(origin: Origin, file: str) -> str:
    preset = None if origin.preset is None else f"preset {origin.preset}"
    line = None if origin.line is None else f"{file}:{origin.line}"
    parts = [preset, line, origin.reference, origin.option, origin.variable]
    return ", ".join(part for part in parts if part is not None) or "default"
