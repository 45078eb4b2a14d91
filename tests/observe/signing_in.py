"""A proxy in front of a Misskey server, and what browsers do there to sign in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from proxying import BEGINNING, Sidekey, sidekey
from raw_client import RawAnswer, ask

from proxy.sandbox.misskey import MisskeySandbox
from proxy.sandbox.serving import serve

HTML = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
FORM = "Content-Type: application/x-www-form-urlencoded"
FROM_THE_SERVER = (  # as a browser comes back from the page of another site
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: document",
)
UPSTREAMS = """\
m: {{preset: misskey, base_url: "{origin}"}}
app: {{preset: misskey-app, base_url: "{origin}", provider: {{app_secret: "{secret}"}}}}
key: {{base_url: "{origin}", provider: {{type: api_key, keys: canary-of-a-key}}}}
"""


@dataclass(frozen=True)
class Site:
    """The server, and the proxy; `shown` are the fields by which the proxy knows its clients."""

    sandbox: MisskeySandbox
    origin: str
    proxy: Sidekey
    shown: tuple[str, ...] = ()

    async def page(self, path: str, *fields: str) -> RawAnswer:
        """Open a page below `/_sidekey/login/`."""
        return await ask(self.proxy, f"GET /_sidekey/login/{path}", HTML, *self.shown, *fields)

    async def post(self, path: str, **sent: str) -> RawAnswer:
        """Send a form."""
        line = f"POST /_sidekey/login/{path}"
        content = urlencode(sent).encode()
        return await ask(self.proxy, line, HTML, FORM, *self.shown, content=content)

    async def token(self, path: str = "m") -> str:
        """Return what the form of a page proves itself with."""
        found = re.search(r'name="token" value="([^"]+)"', text(await self.page(path)))
        assert found is not None
        return found[1]

    async def begun(self, name: str = "m") -> Begun:
        """Begin a sign-in as the form does, and follow it to the server's page."""
        answer = await self.post(name, token=await self.token(name))
        assert answer.status == 303
        return Begun(answer.field("Location")[0])

    async def returned(self, begun: Begun, *fields: str) -> RawAnswer:
        """Come back from the server's page."""
        target = urlsplit(begun.callback)._replace(scheme="", netloc="").geturl()
        return await ask(self.proxy, f"GET {target}", HTML, *FROM_THE_SERVER, *fields)


@dataclass(frozen=True)
class Begun:
    """The server's page that a browser was sent to."""

    url: str

    @property
    def session(self) -> str:
        return urlsplit(self.url).path.rpartition("/")[2]

    @property
    def callback(self) -> str:
        [callback] = parse_qs(urlsplit(self.url).query)["callback"]
        return f"{callback}?session={quote(self.session)}"


@asynccontextmanager
async def signing_in(
    folder: Path,
    *,
    beginning: str = BEGINNING,
    shown: tuple[str, ...] = (),
    public: str | None = None,
) -> AsyncIterator[Site]:
    """Serve a Misskey server, and a proxy in front of it; `public` is the server's own address."""
    sandbox = MisskeySandbox(origin=public)
    async with serve(sandbox.application()) as origin:
        upstreams = UPSTREAMS.format(origin=origin, secret=sandbox.app_secret)
        async with sidekey(folder, upstreams, beginning=beginning) as proxy:
            yield Site(sandbox, origin, proxy, shown)


def text(answer: RawAnswer) -> str:
    """Return the content of a page."""
    return answer.content.decode()
