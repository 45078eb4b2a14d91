"""The endpoints of the API; which of them a server has depends on its release."""

from __future__ import annotations

from proxy.sandbox.misskey.endpoints import accounts, apps, drive, notes, server
from proxy.sandbox.misskey.endpoints.endpoint import Endpoint, Endpoints
from proxy.sandbox.misskey.release import Release

__all__ = ["Endpoint", "Endpoints", "endpoints_of"]


def endpoints_of(release: Release) -> Endpoints:
    """All endpoints by the path that follows `/api/`."""
    return {
        **server.endpoints(release),
        **accounts.endpoints(release),
        **apps.ENDPOINTS,
        **notes.ENDPOINTS,
        **drive.ENDPOINTS,
    }
