"""YAML text -> Settings. Everything that is wrong is reported at once, with line and column."""

from __future__ import annotations

from proxy.config.loading import Loaded, find, listen_of, load
from proxy.config.presets import Preset, presets
from proxy.config.reference import reference
from proxy.config.references.program import INHERITED
from proxy.config.schema import json_schema

__all__ = [
    "INHERITED",
    "Loaded",
    "Preset",
    "find",
    "json_schema",
    "listen_of",
    "load",
    "presets",
    "reference",
]
