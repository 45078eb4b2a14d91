"""Client sessions that send what they are told and nothing else.

aiohttp's defaults follow redirects, keep cookies, inflate answers and add fields of their own; each
of these was measured to corrupt a message or to carry a credential to another host.
"""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

AUTOMATIC_FIELDS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
FIELD_LIMIT = 64 * 1024  # bytes of one field of an answer; real ones carry tokens of 16 kB


def open_session(timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """Return a session without cookies, decompression, automatic fields and ambient credentials.

    The number of connections is not limited here: 100 open event streams, aiohttp's default limit,
    would block every other request.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=AUTOMATIC_FIELDS,
        timeout=timeout,
        trust_env=False,  # it would also read ~/.netrc and send what it finds there
        max_line_size=FIELD_LIMIT,
        max_field_size=FIELD_LIMIT,
    )


def forward_proxy(url: str) -> str | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for `url`, if any."""
    parts = urlsplit(url)
    proxies = getproxies()
    if parts.scheme not in proxies or proxy_bypass(parts.netloc):
        return None
    return proxies[parts.scheme]
