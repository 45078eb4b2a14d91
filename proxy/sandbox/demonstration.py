"""Every sandbox upstream at once, with the configuration that leads to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from proxy.sandbox.jquants_v1 import JQuantsV1
from proxy.sandbox.jquants_v2 import JQuantsV2
from proxy.sandbox.kabu import Kabu
from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.portal import Portal
from proxy.sandbox.serving import serve

CONFIG = """\
listen: {{port: {port}}}
store: {{type: memory}}
upstreams:
  jquants:            # mail and password -> refresh token -> ID token
    preset: jquants-v1
    base_url: {jquants_v1}/v1
    provider: {{mailaddress: "${{DEMO_MAILADDRESS}}", password: "${{DEMO_PASSWORD}}"}}
  jquants-v2:         # an API key
    preset: jquants-v2
    base_url: {jquants_v2}/v2
    provider: {{keys: "${{DEMO_API_KEY}}"}}
  portal-key:         # the primary key is revoked: the secondary takes over
    preset: fujitsu-portal-key
    base_url: {portal}
    provider: {{keys: ["${{DEMO_PRIMARY}}", "${{DEMO_SECONDARY}}"]}}
  portal-oauth2:      # OAuth 2.0 client credentials
    preset: fujitsu-portal-oauth2
    base_url: {portal}
    provider: {{client_id: demo-client, client_secret: "${{DEMO_CLIENT_SECRET}}"}}
  portal-legacy:      # POST, then PATCH
    preset: fujitsu-portal-legacy
    base_url: {portal}
    provider: {{client_id: demo-client, client_secret: "${{DEMO_CLIENT_SECRET}}"}}
  misskey:            # approved in the browser (MiAuth)
    preset: misskey
    base_url: {misskey}
  misskey-token:      # issued by hand in the web settings
    preset: misskey-token
    base_url: {misskey}
    provider: {{token: "${{DEMO_MISSKEY_TOKEN}}"}}
  misskey-app:        # a registered app
    preset: misskey-app
    base_url: {misskey}
    provider: {{app_secret: "${{DEMO_APP_SECRET}}"}}
  kabu:               # a token endpoint described in the configuration
    preset: kabu-station
    base_url: {kabu}/kabusapi
    provider: {{api_password: "${{DEMO_API_PASSWORD}}"}}
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A request that shows an upstream at work, and what its right answer holds."""

    upstream: str
    path: str
    json: dict[str, Any] | None = None
    expects: str = ""

    @property
    def curl(self) -> str:
        """The arguments of curl after the URL."""
        if self.json is None:
            return ""
        members = ", ".join(f'"{name}": "{value}"' for name, value in self.json.items())
        return f" -H 'Content-Type: application/json' -d '{{{members}}}'"


SAMPLES = (
    Sample("jquants", "/listed/info?code=86970", expects='"86970"'),
    Sample("jquants-v2", "/equities/master?code=86970", expects='"86970"'),
    Sample("portal-key", "/da/v1/healthcheck"),
    Sample("portal-oauth2", "/da/v3/async/jobs"),
    Sample("portal-legacy", "/da/v3/async/jobs"),
    Sample("misskey", "/api/i", json={}, expects='"bob"'),
    Sample("misskey-token", "/api/notes/create", json={"text": "hello"}, expects='"hello"'),
    Sample("misskey-app", "/api/i", json={}, expects='"bob"'),
    Sample("kabu", "/board/7203@1", expects='"7203"'),
)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """Running sandboxes.

    `environ` holds the made-up secrets that `config(port)` refers to. `approve` plays the human at
    the page that a sign-in opens.
    """

    origins: dict[str, str]
    environ: dict[str, str] = field(repr=False)
    approve: Callable[[str], None]

    def config(self, port: int) -> str:
        """Return the text of the configuration."""
        return CONFIG.format(port=port, **self.origins)


@asynccontextmanager
async def demonstration() -> AsyncIterator[Demonstration]:
    """Serve every sandbox on a free loopback port until the block ends."""
    portal, misskey = Portal(), MisskeySandbox()
    portal.revoke_key("primary")
    applications = {
        "jquants_v1": JQuantsV1().application(),
        "jquants_v2": JQuantsV2().application(),
        "portal": portal.application(),
        "misskey": misskey.application(),
        "kabu": Kabu().application(),
    }
    environ = {
        "DEMO_MAILADDRESS": "demo@example.com",
        "DEMO_PASSWORD": "demo-password",
        "DEMO_API_KEY": "demo-api-key",
        "DEMO_PRIMARY": "demo-primary-key",
        "DEMO_SECONDARY": "demo-secondary-key",
        "DEMO_CLIENT_SECRET": "demo-client-secret",
        "DEMO_MISSKEY_TOKEN": misskey.issue_token(["read:account", "write:notes"]),
        "DEMO_APP_SECRET": misskey.app_secret,
        "DEMO_API_PASSWORD": "demo-api-password",
    }

    def approve(url: str) -> None:
        kind, _, state = urlsplit(url).path[1:].partition("/")
        if kind == "miauth":
            misskey.approve_miauth(state)
        else:
            misskey.approve_session(state)

    async with AsyncExitStack() as stack:
        origins = {
            name: await stack.enter_async_context(serve(application))
            for name, application in applications.items()
        }
        yield Demonstration(origins, environ, approve)
