"""The files of the dashboard, as they lie in the package: nothing comes from anywhere else."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

from proxy.gateway.problems import PROTECTION
from proxy.gateway.route import OWN_PREFIX
from proxy.observe.markup import protection
from proxy.observe.pages import Route, Visit
from proxy.refusals import UnknownUpstream

TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
DASHBOARD = "dashboard.html"


def static_routes() -> list[Route]:
    """Return the pages that are files; they tell nothing, so everybody may have them."""
    return [
        Route("GET", "", _to_dashboard, is_open=True),
        Route("GET", "/", _dashboard, is_open=True),
        Route("GET", "/static/{name}", _static, is_open=True),
    ]


async def _to_dashboard(_visit: Visit) -> web.Response:
    headers = {"Location": f"/{OWN_PREFIX}/", **PROTECTION}
    return web.Response(status=308, headers=headers)


async def _dashboard(_visit: Visit) -> web.Response:
    return _file(DASHBOARD)


async def _static(visit: Visit) -> web.Response:
    return _file(visit.arguments["name"])


def _file(name: str) -> web.Response:
    folder = files("proxy.observe") / "static"
    kind = TYPES.get(name.rpartition(".")[2])
    if kind is None or name not in {entry.name for entry in folder.iterdir()}:
        raise UnknownUpstream("sidekey has no such file", fix=f"see /{OWN_PREFIX}/")
    fields = protection() if name == DASHBOARD else PROTECTION
    return web.Response(
        body=(folder / name).read_bytes(), headers=fields, content_type=kind, charset="utf-8"
    )
