"""How the requests behind the recordings of real Misskey servers are written down.

`{native}` is bob's own token, `{notes}` an app token without read:account, `{account}` one with it,
`{empty}` one without any right, `{suspended}` the token of a suspended user. Other names, such as
`{token}` or `{secret}`, come from the answers to the requests that stand before the last one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from misskey_client import Exchange

BAD_16 = "badbadbadbadbad0"
BAD_32 = "x" * 32
JSON_TYPE = (("Content-Type", "application/json"),)


@dataclass(frozen=True)
class Case:
    """The request whose answer was recorded, and those that had to come before it."""

    last: Exchange
    before: tuple[Exchange, ...] = ()
    rate_limits: bool = False
    federation: bool = False


def post(path: str, value: object = None, *, bearer: str | None = None, **more: str) -> Exchange:
    """A JSON request; `more` are header fields with underscores for hyphens."""
    text = json.dumps({} if value is None else value, ensure_ascii=False)
    return raw(f"/api/{path}", text, bearer=bearer, **more)


def raw(
    target: str,
    text: str | bytes | None,
    *,
    bearer: str | None = None,
    method: str = "POST",
    content_type: str | None = "application/json",
    **more: str,
) -> Exchange:
    """A request with this content, or without any."""
    headers = [(name.replace("_", "-"), value) for name, value in more.items()]
    if bearer is not None:
        headers.append(("Authorization", f"Bearer {bearer}"))
    if content_type is not None:
        headers.append(("Content-Type", content_type))
    body = text.encode() if isinstance(text, str) else text
    return Exchange(method, target, tuple(headers), () if body is None else (body,))


def bare(target: str, *, method: str = "POST", bearer: str | None = None) -> Exchange:
    """A request without content and without Content-Type."""
    return raw(target, None, method=method, bearer=bearer, content_type=None)


def get(target: str, **more: str) -> Exchange:
    """A GET request."""
    return raw(target, None, method="GET", content_type=None, **more)


def preflight(target: str) -> Exchange:
    """What a browser asks before a request of another site."""
    return raw(
        target,
        None,
        method="OPTIONS",
        content_type=None,
        Origin="http://app.example",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type,authorization",
    )


def handshake(target: str, *, authorization: str | None = None, **more: str) -> Exchange:
    """A WebSocket handshake."""
    fields = {"Sec_WebSocket_Version": "13", **more}
    if authorization is not None:
        fields["Authorization"] = authorization
    return get(
        target,
        Connection="Upgrade",
        Upgrade="websocket",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        **fields,
    )
