"""A faithful fake of a Misskey server, measured against recordings of real ones.

Plays 2025.11.1 and 13.13.2: where tokens are read from, errors, MiAuth, the legacy app flow, file
uploads and streaming. Not part of it: federation, OAuth 2.0, and everything that needs no token.
"""

from __future__ import annotations

from proxy.sandbox.misskey.sandbox import MisskeySandbox

__all__ = ["MisskeySandbox"]
