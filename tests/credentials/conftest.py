"""Sources against real token endpoints."""

from __future__ import annotations

from source_fixtures import make, portal

__all__ = ["make", "portal"]
