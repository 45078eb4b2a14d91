"""One file a grant or login; this is their registry. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proxy.credentials.providers.api_key import ApiKey
from proxy.credentials.providers.base import InteractiveProvider, Provider
from proxy.credentials.providers.jquants import JQuants
from proxy.credentials.providers.miauth import MiAuth
from proxy.credentials.providers.misskey_app import MisskeyApp
from proxy.credentials.providers.oauth2_client_credentials import OAuth2ClientCredentials
from proxy.credentials.providers.token_endpoint import TokenEndpoint

AnyProvider = Annotated[
    ApiKey | JQuants | OAuth2ClientCredentials | TokenEndpoint | MiAuth | MisskeyApp,
    Field(discriminator="type"),
]

__all__ = [
    "AnyProvider",
    "ApiKey",
    "InteractiveProvider",
    "JQuants",
    "MiAuth",
    "MisskeyApp",
    "OAuth2ClientCredentials",
    "Provider",
    "TokenEndpoint",
]
