"""The pages where a person says yes or no; the sandbox's user is logged in on them already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from urllib.parse import parse_qsl

from aiohttp import web

from proxy.sandbox.misskey.accounts import User
from proxy.sandbox.misskey.permissions import PERMISSIONS

_PLACEHOLDER = '"PARAMETERS"'


def miauth_page(session: str, query: str, user: User) -> web.Response:
    """MiAuth's consent page; of a parameter that comes twice the last value counts.

    Names of rights that the server does not know are dropped here: the API would store them.
    """
    asked = dict(parse_qsl(query))
    permission = [name for name in asked.get("permission", "").split(",") if name in PERMISSIONS]
    parameters = {
        "session": session,
        "name": asked.get("name"),
        "icon": asked.get("icon"),
        "callback": asked.get("callback"),
        "permission": permission,
        "username": user.username,
        "i": user.native_token,
    }
    return _page("miauth.html", parameters)


def auth_page(token: str, user: User) -> web.Response:
    """The consent page of the legacy flow."""
    return _page("auth.html", {"token": token, "i": user.native_token})


def front_page() -> web.Response:
    """What every path shows that is nothing else."""
    return _page("home.html", {})


def _page(name: str, parameters: Mapping[str, object]) -> web.Response:
    template = files(__package__).joinpath("pages", name).read_text("utf-8")
    html = template.replace(_PLACEHOLDER, _script_json(parameters))
    fields = {"X-Frame-Options": "DENY", "Cache-Control": "public, max-age=30"}
    return web.Response(text=html, content_type="text/html", charset="utf-8", headers=fields)


def _script_json(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
